// @ts-check
// Put nodes that load a reference into the open graph.
import { app } from '../../../scripts/app.js'

import { input, write } from '../lib/inputs.mjs'

const STEP = 40 // between nodes that would lie on each other

/** @typedef {[number, number]} Place */
/** @typedef {import('./libraries.mjs').Dragged} Dragged */

/** Add a node that loads the saved features of this name.
 * @param {string} name @param {Place} [at] */
export function insert(name, at) {
  return put('ImagePromptLoadFeatures', { features_name: name }, at)
}

/** Add a node that gives a picture of a library, and with a higher k those like it.
 * @param {Dragged} dragged @param {Place} [at] */
export function insertNearest({ library, path }, at) {
  return put('ImagePromptNearestReference', { library, picture: path, k: 1 }, at)
}

/** Add a Load Image with a picture that lies in the input folder.
 * @param {Dragged} dragged @param {Place} [at] */
export function insertImage({ input: image }, at) {
  return put('LoadImage', { image }, at)
}

/** Add a node with these values, at a place of the screen or in the middle of what is seen of the graph. One undo
 * removes it.
 * @param {string} type @param {Record<string, string | number>} values @param {Place} [at] */
async function put(type, values, at) {
  const canvas = /** @type {any} */ (app.canvas)
  const node = window.LiteGraph?.createNode(type)
  if (!node) return
  if (!areListed(node, values)) await app.refreshComboInNodes() // it was saved after the page was loaded
  canvas.emitBeforeChange()
  try {
    const [x, y] = app.clientPosToCanvasPos(at ?? middle())
    node.pos = at ? [x, y] : free(canvas.graph, x - node.size[0] / 2, y - node.size[1] / 2)
    canvas.graph.add(node)
    for (const [name, value] of Object.entries(values)) write(node, name, value)
    canvas.selectItems?.([node])
    canvas.setDirty(true, true)
    await frames(2) // Nodes 2.0 measures the node, which belongs to the same step of undo
  } finally {
    canvas.emitAfterChange()
  }
}

/** @param {number} count */
async function frames(count) {
  for (let frame = 0; frame < count; frame++) await new Promise(requestAnimationFrame)
}

/** Whether the lists of the node offer these values.
 * @param {any} node @param {Record<string, string | number>} values */
function areListed(node, values) {
  return Object.entries(values).every(([name, value]) => {
    const offered = /** @type {any} */ (input(node, name))?.options?.values
    return !Array.isArray(offered) || offered.includes(value)
  })
}

/** The middle of what is seen of the graph, on the screen.
 * @returns {Place} */
function middle() {
  const seen = document.querySelector('.graph-canvas-panel') ?? app.canvas.canvas
  const { left, top, width, height } = seen.getBoundingClientRect()
  return [left + width / 2, top + height / 2]
}

/** This place, or one beside it where no node begins.
 * @param {any} graph @param {number} x @param {number} y @returns {Place} */
function free(graph, x, y) {
  const taken = (/** @type {any} */ { pos }) => Math.abs(pos[0] - x) < STEP / 2 && Math.abs(pos[1] - y) < STEP / 2
  while (graph.nodes.some(taken)) {
    x += STEP
    y += STEP
  }
  return [x, y]
}
