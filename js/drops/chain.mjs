// @ts-check
// Adds the nodes that bring a picture to a socket, wired as the others of the graph are.
import { write } from '../lib/inputs.mjs'
import { layOut } from '../lib/place.mjs'
import { ENCODE, ENCODERS, PICTURE, TAKES } from './targets.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */


/**
 * Add the nodes of a chain left of a node, and wire them to one of its sockets.
 *
 * @param {Node} node @param {string} socket @param {readonly string[]} chain the first one loads the picture
 * @param {string} picture as Load Image names it @returns {Node[]}
 */
export function addChain(node, socket, chain, picture) {
  const model = encoderOf(node)
  const added = chain.map((type) => create(type === ENCODE && model ? model.comfyClass ?? type : type))
  layOut(node, added.map((each) => [each]))
  for (const [each, next] of pairs(added)) each.connect(0, next, slot(next, TAKES[next.comfyClass ?? '']))
  added.at(-1)?.connect(0, node, slot(node, socket))
  for (const each of added) if (ENCODERS.includes(each.comfyClass ?? '')) supply(each, model, node)
  show(added[0], picture)
  return added
}

/** The Load Image that brings a picture to a socket and to nothing else.
 * @param {Node} node @param {string} socket @returns {Node | undefined} */
export function pictureBehind(node, socket) {
  const before = source(node, socket)
  if (!before || before.outputs[0].links?.length !== 1) return undefined
  if (before.comfyClass === PICTURE) return before
  return TAKES[before.comfyClass ?? ''] ? pictureBehind(before, TAKES[before.comfyClass ?? '']) : undefined
}

/** Let a Load Image load a picture.
 * @param {Node} node @param {string} picture */
export function show(node, picture) {
  const choices = node.widgets?.find((widget) => widget.name === 'image')?.options?.values
  if (Array.isArray(choices) && !choices.includes(picture)) choices.push(picture)
  write(node, 'image', picture)
}

// --------------------------------------------------------------------------------------------------------------- parts

/** @param {string} type @returns {Node} */
function create(type) {
  return window.LiteGraph.createNode(type)
}

/** @template Item @param {readonly Item[]} items @returns {[Item, Item][]} */
function pairs(items) {
  return items.slice(1).map((item, index) => [items[index], item])
}

/** @param {Node} node @param {string} name */
function slot(node, name) {
  return node.findInputSlot(name)
}

/** @param {Node} node @param {string} name @returns {Node | undefined} */
function source(node, name) {
  const place = slot(node, name)
  return place < 0 ? undefined : /** @type {Node | null} */ (node.getInputNode(place)) ?? undefined
}

/** The encoder whose features the node gets already, or another one of the graph.
 * @param {Node} node @returns {Node | undefined} */
function encoderOf(node) {
  const isEncoder = (/** @type {any} */ each) => ENCODERS.includes(each.comfyClass)
  const seen = new Set([node])
  for (const each of seen) {
    if (each !== node && isEncoder(each)) return each
    for (const place of (each.inputs ?? []).keys()) {
      const before = /** @type {Node | null} */ (each.getInputNode(place))
      if (before) seen.add(before) // it is visited after all that are nearer
    }
  }
  return /** @type {Node | undefined} */ (node.graph?.nodes.find((each) => each !== node && isEncoder(each)))
}

/** Wire an encoder to the models that another one has; without one, to the only image encoder of the graph.
 * @param {Node} encoder @param {Node | undefined} model @param {Node} target */
function supply(encoder, model, target) {
  for (const [place, { name }] of encoder.inputs.entries()) {
    if (name === 'image' || name === 'mask') continue
    const link = model?.isInputConnected(slot(model, name)) && model.getInputLink(slot(model, name))
    if (link) /** @type {any} */ (encoder.graph?.getNodeById(link.origin_id))?.connect(link.origin_slot, encoder, place)
  }
  if (model) return
  const given = (encoder.graph?.nodes ?? []).flatMap((node) =>
    node.outputs.flatMap((output, index) => (output.type === 'CLIP_VISION' ? [{ node, index }] : []))
  )
  if (given.length === 1 && slot(encoder, 'clip_vision') >= 0)
    given[0].node.connect(given[0].index, encoder, slot(encoder, 'clip_vision'))
  const adapter = slot(target, 'adapter')
  const link = adapter >= 0 && target.isInputConnected(adapter) && target.getInputLink(adapter)
  if (link && slot(encoder, 'adapter') >= 0)
    encoder.graph?.getNodeById(link.origin_id)?.connect(link.origin_slot, encoder, slot(encoder, 'adapter'))
}
