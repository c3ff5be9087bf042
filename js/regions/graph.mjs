// @ts-check
// What the graph before a node says: its references, what they are called, their pictures, and the shape of the latent.
import { valueOf } from '../lib/inputs.mjs'
import { outputOf } from '../lib/outputs.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {{number: number, name: string, picture?: HTMLImageElement}} Reference */
/** @typedef {{width: number, height: number}} Shape */

export const REGIONS = 'ImagePromptRegions'

const SOCKET = /^references\.reference_(\d+)$/
const TO_PICTURE = ['features', 'features_1', 'image', 'images', 'pixels']
const TO_LATENT = ['samples', 'samples1', 'latent', 'latent_image']
const FAR = 8 // nodes from a reference to its picture

/** The references that are connected, numbered as Python numbers them: one socket may hold several.
 * @param {Node} node @param {number} [far] @returns {Reference[]} */
export function referencesOf(node, far = FAR) {
  /** @type {Reference[]} */
  const found = []
  node.inputs.forEach((input, slot) => {
    const socket = SOCKET.exec(input.name)
    if (!socket || !node.isInputConnected(slot)) return
    const source = before(node, slot)
    const several = source?.comfyClass === REGIONS && far ? referencesOf(source, far - 1) : [source]
    for (const each of several) {
      const number = Math.max(Number(socket[1]) + 1, (found.at(-1)?.number ?? 0) + 1)
      found.push(each && 'number' in each ? { ...each, number } : { number, ...described(each) })
    }
  })
  return found
}

/** @param {Node | undefined} node */
function described(node) {
  return { name: String((node && valueOf(node, 'name')) ?? '').trim(), picture: node && pictureOf(node) }
}

/** The picture that features come from: the farthest that a node on the way shows.
 * @param {Node} node @param {number} [far] @returns {HTMLImageElement | undefined} */
function pictureOf(node, far = FAR) {
  const picture = far ? through(node, TO_PICTURE, (source) => pictureOf(source, far - 1)) : undefined
  return picture ?? node.imgs?.find(({ naturalWidth }) => naturalWidth)
}

/** The shape of the latent that is connected, if the graph says it.
 * @param {Node} node @returns {Shape | undefined} */
export function latentOf(node) {
  const latent = node.findInputSlot('latent')
  const source = node.isInputConnected(latent) ? before(node, latent) : undefined
  return source && latentFrom(source)
}

/** The shape of the latent in the last run of a node, which ComfyUI keeps; undefined if it did not run.
 * @param {Node} node @returns {Shape | undefined} */
export function lastShape(node) {
  return outputOf(node, 'image_prompt_regions')
}

/** @param {Node} node @param {number} [far] @returns {Shape | undefined} */
function latentFrom(node, far = FAR) {
  const [width, height] = [typed(node, 'width'), typed(node, 'height')]
  if (width && height) return { width, height }
  const picture = through(node, ['pixels'], pictureOf)
  if (picture) return { width: picture.naturalWidth, height: picture.naturalHeight }
  return far ? through(node, TO_LATENT, (source) => latentFrom(source, far - 1)) : undefined
}

/** A number that is typed in, and not connected.
 * @param {Node} node @param {string} name */
function typed(node, name) {
  const slot = node.findInputSlot(name)
  return slot >= 0 && node.isInputConnected(slot) ? 0 : Number(valueOf(node, name)) || 0
}

/** What is found from the first of these inputs that leads to it.
 * @template T @param {Node} node @param {readonly string[]} names @param {(node: Node) => T | undefined} find */
function through(node, names, find) {
  for (const name of names) {
    const slot = node.findInputSlot(name)
    const source = slot >= 0 ? before(node, slot) : undefined
    const found = source && find(source)
    if (found) return found
  }
  return undefined
}

/** The node at an input, behind nodes that only lead a wire.
 * @param {Node} node @param {number} slot @returns {Node | undefined} */
function before(node, slot) {
  let source = /** @type {Node | null} */ (node.getInputNode(slot))
  for (let far = FAR; source?.type === 'Reroute' && far; far--) source = /** @type {Node | null} */ (source.getInputNode(0))
  return source ?? undefined
}
