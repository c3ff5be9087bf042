// @ts-check
// A text that only one choice of a combo box reads, and that must be empty with all others: it is kept aside while
// another one is chosen, and comes back with it.
import { input, valueOf, write } from './inputs.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */

/**
 * @param {Node} node
 * @param {{chooser: string, choice: string, text: string}} names the inputs, and the choice that reads the text
 * @param {() => string} start the text for somebody who chooses it for the first time
 */
export function keepAside(node, { chooser, choice, text }, start) {
  const combo = input(node, chooser)
  if (!combo) return
  const kept = `image_prompt_${text}`
  const before = combo.callback
  combo.callback = function (...given) {
    const typed = String(valueOf(node, text) ?? '')
    if (combo.value === choice) {
      if (!typed.trim()) write(node, text, String(node.properties[kept] || start()))
      delete node.properties[kept]
    } else if (typed.trim()) {
      node.properties[kept] = typed
      write(node, text, '')
    }
    return before?.apply(this, given)
  }
}
