// @ts-check
// Where new nodes go: left of another node, and below those that are in the way.

/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/** The first place at or below a box in which it covers no other, with a gap around it.
 * @param {Box} box @param {readonly Box[]} others @param {number} gap @returns {Box} */
export function free(box, others, gap) {
  const inColumn = others.filter((other) => box.x < other.x + other.width + gap && other.x < box.x + box.width + gap)
  let y = box.y
  for (const other of inColumn.sort((one, two) => one.y - two.y))
    if (y < other.y + other.height + gap && other.y < y + box.height + gap) y = other.y + other.height + gap
  return { ...box, y }
}
