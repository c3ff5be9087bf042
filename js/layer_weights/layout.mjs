// @ts-check
// Where the bars of Layer Weights are: one for each block in the order in which they run, with gaps between kinds.

/** @typedef {import('../lib/plot.mjs').Box} Box */
/** @typedef {{left: number, width: number}} Slot */
/** @typedef {{kind: string, left: number, right: number}} Group */

const GAP = 10 // between kinds
const BELOW = 30 // for the silhouette and the names of kinds
const LEFT = 24 // for numbers

/** @param {readonly {kind: string}[]} blocks @param {number} width @param {number} height
 * @returns {{box: Box, slots: Slot[], groups: Group[]}} */
export function layout(blocks, width, height) {
  const box = { left: LEFT, top: 8, right: width - 4, bottom: height - BELOW }
  const kinds = new Set(blocks.map(({ kind }) => kind)).size
  const each = (box.right - box.left - GAP * (kinds - 1)) / blocks.length
  /** @type {Slot[]} */
  const slots = []
  /** @type {Group[]} */
  const groups = []
  let left = box.left
  for (const { kind } of blocks) {
    const last = groups.at(-1)
    if (last && last.kind !== kind) left += GAP
    if (last?.kind === kind) last.right = left + each
    else groups.push({ kind, left, right: left + each })
    slots.push({ left, width: each })
    left += each
  }
  return { box, slots, groups }
}

/** The number of the bar at a place; of the nearest one beside them and in gaps.
 * @param {readonly Slot[]} slots @param {number} x */
export function barAt(slots, x) {
  const middle = (/** @type {Slot} */ slot) => slot.left + slot.width / 2
  let nearest = 0
  for (const [number, slot] of slots.entries())
    if (Math.abs(middle(slot) - x) < Math.abs(middle(slots[nearest]) - x)) nearest = number
  return nearest
}

/** How large blocks are, from 0 to 1: the resolution at which a UNet runs them, which its widths tell.
 * @param {readonly {width: number}[]} blocks */
export function sizes(blocks) {
  const widths = [...new Set(blocks.map(({ width }) => width))].sort((one, other) => one - other)
  return blocks.map(({ width }) => 1 - widths.indexOf(width) / (widths.length + 0.5))
}
