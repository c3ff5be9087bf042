// @ts-check
// The libraries of pictures as the panel lists and searches them: addresses, and what is said of each picture.

/**
 * @typedef {{name: string, count: number, encoder: string, error: string}} Library
 * @typedef {{id: number, path: string, score: number | null, width: number, height: number, rating: number,
 *   kind: string, text: string, state: string, input: string}} Found input: its name in ComfyUI's input folder, or ''
 * @typedef {{library: string, path: string, input: string}} Dragged
 * @typedef {{text?: string, id?: number}} Query nothing of both: the newest pictures
 */

const SHOWN = 60 // pictures

/** The address of a search.
 * @param {string} library @param {Query} query */
export function searchPath(library, { text, id }) {
  const asked = new URLSearchParams({ library, k: String(SHOWN) })
  if (id !== undefined) asked.set('id', String(id))
  else if (text) asked.set('text', text)
  return `/image-prompt/libraries/search?${asked}`
}

/** The address of a small picture, another one once the picture has changed.
 * @param {string} library @param {Found} found */
export function picturePath(library, { id, state }) {
  return `/image-prompt/libraries/picture?${new URLSearchParams({ library, id: String(id), state })}`
}

/** The parts of a path.
 * @param {string} path */
export function shownPath(path) {
  const parts = path.split('/')
  const title = parts.pop() ?? ''
  return { title: title.replace(/\.[^.]+$/, '') || title, folder: parts.join('/') }
}

/** What is said of a picture beside its name: its score, a number and no share of anything, and its size.
 * @param {Found} found @param {(rating: number) => string} rated words for a rating that is not 0 */
export function aboutPicture({ score, rating, width, height, kind }, rated) {
  const size = kind === 'image' && width ? `${width} × ${height}` : ''
  return [score === null ? '' : score.toFixed(3), rating ? rated(rating) : '', size].filter(Boolean).join(' · ')
}

/** Read what was dragged; undefined where it is something else.
 * @param {string | undefined} text @returns {Dragged | undefined} */
export function readDragged(text) {
  try {
    const { library, path, input } = JSON.parse(text ?? '')
    const isRight = [library, path, input].every((each) => typeof each === 'string') && library && path
    return isRight ? { library, path, input } : undefined
  } catch {
    return undefined
  }
}
