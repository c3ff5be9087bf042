// @ts-check
// The pictures that the nodes before a node show.

/** @typedef {import('../../devtools/types/comfy').Node} Node */

/** The picture that is shown by the node at an input: of Load Image before any run, of others after one.
 * @param {Node} node @param {string} name of the input @returns {HTMLImageElement | undefined} */
export function pictureAt(node, name) {
  const before = /** @type {Node | null} */ (node.getInputNode(node.findInputSlot(name)))
  const picture = before?.imgs?.[0]
  return picture?.naturalWidth ? picture : undefined
}
