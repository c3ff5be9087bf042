// @ts-check
// What the last run of a node left for its view, and when to look for it.
import { api } from '../../../scripts/api.js'
import { app } from '../../../scripts/app.js'
import { onRemoved } from './view.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */

const EVERY_MS = 500

/** What Python gave under a key of the node's ui output; undefined if it did not run. Undo and reload keep it.
 * @param {Node} node @param {string} key @returns {any} */
export function outputOf(node, key) {
  return outputsOf(node, key)?.[0]
}

/** All that Python gave under a key, as `outputOf` gives the only one.
 * @param {Node} node @param {string} key @returns {any[] | undefined} */
export function outputsOf(node, key) {
  const place = node.graph && !node.graph.isRootGraph ? `${node.graph.id}:${node.id}` : String(node.id)
  const found = /** @type {Record<string, any> | undefined} */ (app.nodeOutputs?.[place])?.[key]
  return Array.isArray(found) ? found : undefined
}

/** Call back after a run of the node, and twice a second while it is there: what it shows of other nodes changes without
 * a word, as pictures are loaded, nodes are muted, and graphs restored. It should do nothing if nothing has changed.
 * @param {Node} node @param {() => void} look */
export function lookRegularly(node, look) {
  const executed = node.onExecuted
  node.onExecuted = function (...given) {
    executed?.apply(this, given)
    look()
  }
  const timer = setInterval(() => {
    if (!document.hidden && node.graph) look()
  }, EVERY_MS)
  onRemoved(node, () => clearInterval(timer))
}

/** Gives the pictures that Python wrote into files, and calls back when one that was asked for is there.
 * @param {() => void} loaded
 * @returns {(file: {filename: string, subfolder: string, type: string}) => HTMLImageElement | undefined} */
export function pictureFiles(loaded) {
  /** @type {Map<string, HTMLImageElement>} */
  const known = new Map()
  return (file) => {
    const url = api.apiURL(`/view?${new URLSearchParams(file)}`)
    let image = known.get(url)
    if (!image) {
      image = new Image()
      image.onload = loaded
      image.src = url
      known.clear() // of the run before
      known.set(url, image)
    }
    return image.naturalWidth ? image : undefined
  }
}
