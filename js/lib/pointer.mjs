// @ts-check
// Places on elements.

/** Where a pointer is on an element, each from 0 to 1, also outside it. It counts how much the graph is enlarged.
 * @param {Element} element @param {{clientX: number, clientY: number}} pointer */
export function placeOn(element, pointer) {
  const box = element.getBoundingClientRect()
  return { x: (pointer.clientX - box.left) / box.width, y: (pointer.clientY - box.top) / box.height }
}
