// @ts-check
// The order of sockets of which some belong to a group that grows: those of a group share what is before the last dot.

const GROWING = /^references\.reference_\d+$/ // as Python names those of this pack

/** Whether a socket is one of the pack's that grow. Those of other packs are left to them.
 * @param {{name: string}} socket */
export function isGrowing({ name }) {
  return GROWING.test(name)
}

/**
 * The sockets with each group in one place, that of its first one, by their numbers.
 *
 * @template {{name: string}} Socket
 * @param {readonly Socket[]} sockets @returns {Socket[]}
 */
export function together(sockets) {
  const places = new Map()
  for (const { name } of sockets) if (!places.has(group(name))) places.set(group(name), places.size)
  const place = (/** @type {Socket} */ { name }) => places.get(group(name))
  return sockets.toSorted((one, two) => place(one) - place(two) || number(one.name) - number(two.name))
}

/** What is before the last dot; of a socket without a group, its name.
 * @param {string} name */
function group(name) {
  return name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : name
}

/** @param {string} name */
function number(name) {
  return Number(/\d*$/.exec(name)?.[0])
}
