// @ts-check
// Put a node that loads a reference into the open graph.
import { app } from '../../../scripts/app.js'

import { input, write } from '../lib/inputs.mjs'

const LOADER = 'ImagePromptLoadFeatures'
const INPUT = 'features_name'
const STEP = 40 // between nodes that would lie on each other

/** @typedef {[number, number]} Place */

/** Add the node with this name, at a place of the screen or in the middle of what is seen of the graph. One undo
 * removes it.
 * @param {string} name @param {Place} [at] */
export async function insert(name, at) {
  const canvas = /** @type {any} */ (app.canvas)
  const node = window.LiteGraph?.createNode(LOADER)
  if (!node) return
  if (!isListed(node, name)) await app.refreshComboInNodes() // it was saved after the page was loaded
  canvas.emitBeforeChange()
  try {
    const [x, y] = app.clientPosToCanvasPos(at ?? middle())
    node.pos = at ? [x, y] : free(canvas.graph, x - node.size[0] / 2, y - node.size[1] / 2)
    canvas.graph.add(node)
    write(node, INPUT, name)
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

/** @param {any} node @param {string} name */
function isListed(node, name) {
  const values = /** @type {any} */ (input(node, INPUT))?.options?.values
  return Array.isArray(values) && values.includes(name)
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
