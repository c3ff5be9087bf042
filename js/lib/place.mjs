// @ts-check
// Where new nodes go: left of another node, and below those that are in the way.

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

const GAP = 40
/** @type {Record<string, [number, number]>} */
const LEAST = { LoadImage: [270, 340] } // with its picture, which comes later

/** The first place at or below a box in which it covers no other, with a gap around it.
 * @param {Box} box @param {readonly Box[]} others @param {number} gap @returns {Box} */
export function free(box, others, gap) {
  const inColumn = others.filter((other) => box.x < other.x + other.width + gap && other.x < box.x + box.width + gap)
  let y = box.y
  for (const other of inColumn.sort((one, two) => one.y - two.y))
    if (y < other.y + other.height + gap && other.y < y + box.height + gap) y = other.y + other.height + gap
  return { ...box, y }
}

/** Add nodes to a graph in columns that end left of a node, below what is in the way. All numbers are whole: Nodes 2.0
 * would round others later, which would be another step of undo.
 * @param {Node} node @param {readonly Node[][]} columns */
export function layOut(node, columns) {
  const title = window.LiteGraph.NODE_TITLE_HEIGHT
  for (const each of columns.flat()) each.setSize(sizeOf(each))
  const widths = columns.map((column) => Math.max(...column.map((each) => each.size[0])))
  const heights = columns.map((column) => column.reduce((sum, each) => sum + each.size[1] + title + GAP, -GAP))
  const width = widths.reduce((sum, each) => sum + each + GAP, -GAP)
  const others = (node.graph?.nodes ?? []).map(({ pos: [x, y], size: [width, height] }) => {
    return { x, y: y - title, width, height: height + title }
  })
  const box = { x: node.pos[0] - width - GAP, y: node.pos[1] - title, width, height: Math.max(...heights) }
  const { x, y } = free(box, others, GAP / 2)
  let left = Math.round(x)
  for (const [index, column] of columns.entries()) {
    let top = Math.round(y)
    for (const each of column) {
      each.pos = [left, top + title]
      top += each.size[1] + title + GAP
      node.graph?.add(each)
    }
    left += widths[index] + GAP
  }
}

/** @param {Node} node @returns {[number, number]} */
function sizeOf(node) {
  const [width, height] = LEAST[node.comfyClass ?? ''] ?? [0, 0]
  return [Math.ceil(Math.max(node.size[0], width)), Math.ceil(Math.max(node.size[1], height))]
}
