// @ts-check
// Colours of the pack's own sockets and wires, in both renderers, where a palette that names one of them wins. And the
// order of sockets that grow, when a node is pasted.
import { app } from '../../scripts/app.js'

import { isGrowing, together } from './sockets/order.mjs'

/** @typedef {import('../devtools/types/comfy').Node} Node */

/** @type {Record<string, string>} */
const COLORS = {
  IMAGE_PROMPT: '#f2c14e',
  IMAGE_PROMPT_ADAPTER: '#e84a8a',
  IPADAPTER: '#e84a8a', // the same thing, from a loader of IPAdapter_plus
  IMAGE_PROMPT_LAYER_WEIGHTS: '#26a69a',
  IMAGE_PROMPT_STEP_WEIGHTS: '#c0ca33',
  INFLUENCE: '#ff6e40',
  INSIGHTFACE: '#e8b796',
  FACEANALYSIS: '#e8b796' // the same thing, as InstantID's and PuLID's packs call it
}

/** Colour a table of the canvas. A palette that is chosen writes an empty text for each type that it does not name.
 * @param {Record<string, any>} table */
function color(table) {
  for (const [type, ours] of Object.entries(COLORS)) {
    let chosen = table[type]
    Object.defineProperty(table, type, {
      configurable: true,
      enumerable: true,
      get: () => chosen || ours,
      set: (given) => (chosen = given)
    })
  }
}

/** Colour the elements of Nodes 2.0. A palette writes its own on the page's root, which goes before this. */
function colorElements() {
  const lines = Object.entries(COLORS).map(([type, ours]) => `--color-datatype-${type}: ${ours};`)
  const style = document.createElement('style')
  style.textContent = `:root { ${lines.join(' ')} }`
  document.head.append(style)
}

app.registerExtension({
  name: 'image-prompt.sockets',

  setup() {
    colorElements()
    color(app.canvas.default_connection_color_byType)
    color(/** @type {any} */ (app.canvas.constructor).link_type_colors)
    app.canvas.setDirty(true, true)
  },

  nodeCreated(node) {
    if (node.inputs?.some(isGrowing)) keepOrder(/** @type {Node} */ (node))
  }
})

/** Put the sockets in the order of the file: a pasted node has those that grew behind all others, where the wires that
 * were copied, which count the sockets, miss them.
 * @param {Node} node */
function keepOrder(node) {
  const configured = node.onConfigure
  node.onConfigure = function (...given) {
    configured?.apply(this, given)
    node.inputs.splice(0, node.inputs.length, ...together(node.inputs))
  }
}
