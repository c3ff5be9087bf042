// @ts-check
// The saved references as the panel lists them: what is searched, and what is said of each.

/**
 * @typedef {{name: string, maker: string, pictures: number, kept_for: string, saved: number, size: number,
 *   state: string, thumbnail: boolean, problem: string, undeletable: string}} Reference
 */

const ENDING = /\.(safetensors|ipadpt)$/
const NUMBER = /_(\d+)_$/ // that saving adds to a name

/** The references in whose name, or maker, all words of a search are found.
 * @param {Reference[]} references @param {string} searched in small letters */
export function fitting(references, searched) {
  const words = searched.split(/\s+/)
  return references.filter(({ name, maker, kept_for }) => {
    const text = `${name} ${maker} ${kept_for}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

/** A name as people gave it, its folder apart: without the ending, and with its number after a sign.
 * @param {string} name */
export function shownName(name) {
  const parts = name.replace(/ \[(input|output)\]$/, '').split(/[\\/]/)
  const last = (parts.pop() ?? '').replace(ENDING, '')
  const number = Number(NUMBER.exec(last)?.[1] ?? 1)
  const title = last.replace(NUMBER, '') + (number > 1 ? ` ${number}` : '')
  return { title: title || name, folder: parts.join('/') }
}

/** The address of a thumbnail, another one once the file has changed.
 * @param {Reference} reference */
export function thumbnailPath({ name, state }) {
  return `/image-prompt/references/thumbnail?${new URLSearchParams({ name, state })}`
}

/** The place in a grid to which an arrow key leads.
 * @param {string} key @param {number} place @param {number} count @param {number} columns */
export function moved(key, place, count, columns) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -count, End: count }
  const step = /** @type {Record<string, number>} */ (steps)[key]
  if (step === undefined) return undefined
  return Math.max(0, Math.min(count - 1, place + step))
}
