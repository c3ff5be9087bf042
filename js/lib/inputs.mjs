// @ts-check
// The inputs of a node that hold values: read them, write them as a person does, and follow them.

/** @typedef {import('../../devtools/types/comfy').Node} Node */

/** The input of this name; undefined where the node has none.
 * @param {Node} node @param {string} name */
export function input(node, name) {
  return node.widgets?.find((widget) => widget.name === name)
}

/** The value of an input; undefined where the node has none of this name.
 * @param {Node} node @param {string} name @returns {any} */
export function valueOf(node, name) {
  return input(node, name)?.value
}

/** Set an input to a value, as if it was typed: who follows the input is told, and the graph counts as changed.
 * @param {Node} node @param {string} name @param {unknown} value */
export function write(node, name, value) {
  const found = input(node, name)
  if (!found || found.value === value) return
  found.value = /** @type {any} */ (value)
  found.callback?.(value)
  node.graph?.setDirtyCanvas(true, true)
}

/** Call back whenever one of these inputs may have changed: it was edited, or the node was loaded, pasted, or undone.
 * @param {Node} node @param {readonly string[]} names @param {() => void} changed */
export function follow(node, names, changed) {
  for (const name of names) {
    const found = input(node, name)
    if (!found) continue
    const before = found.callback
    found.callback = function (...given) {
      const result = before?.apply(this, given)
      changed()
      return result
    }
  }
  const configured = node.onConfigure
  node.onConfigure = function (...given) {
    configured?.apply(this, given)
    changed()
  }
}

/** Whether the value of an input comes from another node.
 * @param {Node} node @param {string} name */
export function isLinked(node, name) {
  const slot = node.findInputSlot(name)
  return slot >= 0 && node.isInputConnected(slot)
}
