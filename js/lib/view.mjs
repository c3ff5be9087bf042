// @ts-check
// Something drawn below the inputs of a node. It views and edits them, and has no value of its own: it is neither saved
// nor queued, and without this script nothing is lost. A setting hides all of them.
import { VIEWS, isOn } from './settings.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */

export const VIEW = 'IMAGE_PROMPT_VIEW'

/**
 * Put an element below the inputs of a node. Call it in `nodeCreated`, so that it comes after all inputs: a frontend
 * before 1.58 reads wrong values back where a widget that is not saved stands between others.
 *
 * @param {Node} node
 * @param {string} name unlike any input of the node
 * @param {HTMLElement} root
 * @param {{height: number, width?: number, most?: number}} size in units of the graph: least height and width, and
 *   greatest height; without the last one the view grows with the node
 * @returns {import('../../devtools/types/comfy').Widget}
 */
export function addView(node, name, root, { height, width = 0, most }) {
  const hidden = !isOn(VIEWS)
  const view = node.addDOMWidget(name, VIEW, root, {
    serialize: false, // it is not queued
    hideOnZoom: false,
    ...(hidden ? { hidden } : {}), // read by Nodes 2.0
    getMinHeight: () => height,
    ...(most === undefined ? {} : { getMaxHeight: () => most }),
    getValue: () => '',
    setValue: () => {}
  })
  view.serialize = false // it is not saved
  takePlace(node, name, root)
  if (hidden) {
    view.hidden = true // read by the classic canvas
    return view
  }
  const needed = node.computeSize() // the classic canvas would leave the node too low until it is drawn again
  node.setSize([Math.max(node.size[0], needed[0], width), Math.max(node.size[1], needed[1])])
  return view
}

/** The elements that were made last, by their nodes.
 * @type {Map<string, WeakRef<HTMLElement>>} */
const roots = new Map()

/** Put an element where that of the node before is shown: undo makes every node anew, with the same number, and Nodes 2.0
 * goes on to show the element of the old one.
 * @param {Node} node @param {string} name @param {HTMLElement} root */
function takePlace(node, name, root) {
  const added = node.onAdded
  node.onAdded = function (graph) {
    added?.call(this, graph)
    const key = `${graph.isRootGraph ? '' : graph.id}:${node.id}:${name}`
    if (window.LiteGraph?.vueNodesMode) roots.get(key)?.deref()?.replaceWith(root)
    roots.set(key, new WeakRef(root))
  }
}

/** Call back when the node is removed, after those that asked before.
 * @param {Node} node @param {() => void} removed */
export function onRemoved(node, removed) {
  const before = node.onRemoved
  node.onRemoved = function () {
    before?.call(this)
    removed()
  }
}
