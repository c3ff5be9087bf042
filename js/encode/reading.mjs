// @ts-check
// What the inputs of Encode Image Prompt ask for, and what of it is known.
import { pictureAt } from '../lib/pictures.mjs'
import { isLinked, valueOf } from '../lib/inputs.mjs'
import { outputOf } from '../lib/outputs.mjs'
import { cropBox, readBox, tileBoxes } from './crop_box.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('./crop_box.mjs').Edges} Edges */
/** @typedef {{filename: string, subfolder: string, type: string}} File */

/** What Python gave after a run: nodes/encoding/seen.py.
 * @typedef {{seen: File, columns: number, shown: number, count: number, side: number, picture: File, height: number,
 *   width: number, asked: Record<string, unknown>, edges: Edges | null}} After */

/** @typedef {{image: CanvasImageSource, height: number, width: number, source: string}} Picture */

/** What is to be drawn. `boxes`: what the encoder sees, if it is known; `problem`: key of the words that say what is not.
 * @typedef {{picture?: Picture, boxes?: Edges[], after?: After, problem?: string, bad?: boolean}} Reading */

export const KEY = 'image_prompt_encode'
export const BY_HAND = 'box'
export const INPUTS = ['crop', 'background', 'outside', 'margin', 'tiles', BY_HAND]
const NAMED = [BY_HAND, 'tiles'] // crops that read the input of their name, which no other one does
const SOCKETS = ['image', 'mask', 'clip_vision']

/** A text that differs once another picture, mask or encoder is connected.
 * @param {Node} node */
export function sourceOf(node) {
  const nodes = SOCKETS.map((name) => (isLinked(node, name) ? node.getInputNode(node.findInputSlot(name))?.id : ''))
  const picture = pictureAt(node, 'image')?.src.replace(/[&?](rand|t)=[^&]*/g, '') ?? ''
  return [...nodes, picture].join('|')
}

/** What is known of the picture, and of what the encoder will see or saw.
 * @param {Node} node @param {Picture | undefined} picture @param {After | undefined} after if it is current
 * @returns {Reading} */
export function read(node, picture, after) {
  if (!isLinked(node, 'image')) return { problem: 'connect' }
  const crop = after ? String(after.asked.crop) : String(valueOf(node, 'crop'))
  const linked = ['crop', ...NAMED.filter((name) => name === crop)].some((name) => isLinked(node, name))
  const text = String((after ? after.asked.box : valueOf(node, BY_HAND)) ?? '')
  const square = readBox(text)
  if (crop === BY_HAND && square === undefined && !linked) return { picture, problem: 'bad_box', bad: true }
  if (!picture) return { after, problem: after ? undefined : 'later' }
  if (linked && !after) return { picture, problem: 'linked' }
  const { height, width } = picture
  if (crop === 'mask') {
    if (!isLinked(node, 'mask')) return { picture, problem: 'no_mask', bad: true }
    return { picture, after, boxes: after?.edges ? [after.edges] : undefined, problem: after ? undefined : 'mask' }
  }
  if (crop === 'tiles') {
    const boxes = tileBoxes(height, width, Number(after?.asked.tiles ?? valueOf(node, 'tiles')))
    return boxes ? { picture, after, boxes } : { picture, problem: 'many_tiles', bad: true }
  }
  const box = cropBox(height, width, crop === BY_HAND ? (square ?? 'center') : crop)
  return box ? { picture, after, boxes: [box] } : { picture, problem: 'beside', bad: true }
}

/** What the last run left, if the inputs that counted still are what they were.
 * @param {Node} node @returns {After | undefined} */
export function afterOf(node) {
  const after = /** @type {After | undefined} */ (outputOf(node, KEY))
  if (!after) return undefined
  const same = Object.entries(after.asked).every(
    ([name, value]) => isLinked(node, name) || valueOf(node, name) === value
  )
  return same ? after : undefined
}
