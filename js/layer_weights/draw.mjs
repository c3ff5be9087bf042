// @ts-check
// Draw bars over the silhouette of a model.
import { COLOURS, FONT, drawLines, heightOf } from '../lib/plot.mjs'
import { say } from '../lib/words.mjs'
import { sizes } from './layout.mjs'

/** @typedef {import('./shown.mjs').Model} Model */
/** @typedef {import('../lib/plot.mjs').Range} Range */
/** @typedef {ReturnType<typeof import('./layout.mjs').layout>} Layout */

const SILHOUETTE = 14 // its height, of a block at full resolution
const BESIDE = 5 // between the bars and the silhouette
const ROOM = 13 // a block needs for its number

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{model: Model, weights: readonly number[][], away: ReadonlySet<number>, range: Range, layout: Layout,
 *   marked: number | undefined, ink: string}} what marked: the bar that is pointed at
 */
export function drawBars(context, { model, weights, away, range, layout: { box, slots, groups }, marked, ink }) {
  drawLines(context, ink, range, box)
  const zero = heightOf(0, range, box)
  for (const [number, { left, width }] of slots.entries()) {
    const colour = COLOURS[model.blocks[number].set ?? 'plain']
    const space = Math.min(1.5, width / 5)
    context.fillStyle = colour
    context.globalAlpha = number === marked ? 0.3 : 0.13
    context.fillRect(left + space / 2, box.top, width - space, box.bottom - box.top)
    context.globalAlpha = 1
    const layers = runs(weights[number])
    for (const { weight, from, to } of layers) {
      const y = heightOf(weight, range, box)
      const [x, wide] = [left + space / 2 + (width - space) * from, (width - space) * (to - from)]
      context.fillStyle = away.has(number) ? hatched(context, colour) : colour
      context.fillRect(x, Math.min(y, zero), wide, Math.max(Math.abs(y - zero), 1))
    }
  }
  drawSilhouette(context, model, slots, box.bottom + BESIDE, ink)
  context.font = FONT
  context.textAlign = 'center'
  context.textBaseline = 'alphabetic'
  context.fillStyle = ink
  context.globalAlpha = 0.75
  for (const { kind, left, right } of groups)
    context.fillText(say(`layer_weights.kinds.${kind}`), (left + right) / 2, box.bottom + BESIDE + SILHOUETTE + 10)
  context.globalAlpha = 1
}

/** Equal neighbours of the layers of a block, and the part of its width that they take.
 * @param {readonly number[]} layers */
function runs(layers) {
  /** @type {{weight: number, from: number, to: number}[]} */
  const found = []
  for (const [number, weight] of layers.entries()) {
    const last = found.at(-1)
    if (last?.weight === weight) last.to = (number + 1) / layers.length
    else found.push({ weight, from: number / layers.length, to: (number + 1) / layers.length })
  }
  return found
}

/** The blocks as high as the resolution at which they run, with their numbers.
 * @param {CanvasRenderingContext2D} context @param {Model} model @param {Layout['slots']} slots
 * @param {number} top @param {string} ink */
function drawSilhouette(context, model, slots, top, ink) {
  context.font = '9px system-ui, sans-serif'
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  for (const [number, size] of sizes(model.blocks).entries()) {
    const { kind, index, set } = model.blocks[number]
    const { left, width } = slots[number]
    const high = SILHOUETTE * size
    context.fillStyle = set ? COLOURS[set] : ink
    context.globalAlpha = set ? 0.45 : 0.18
    context.fillRect(left, top + (SILHOUETTE - high) / 2, width + 0.25, high)
    if (width < ROOM || kind === 'middle') continue
    context.fillStyle = ink
    context.globalAlpha = 0.85
    context.fillText(String(index), left + width / 2, top + SILHOUETTE / 2 + 0.5)
  }
}

/** @param {CanvasRenderingContext2D} context @param {string} colour */
function hatched(context, colour) {
  const tile = document.createElement('canvas')
  tile.width = tile.height = 6
  const pen = tile.getContext('2d')
  if (!pen) return colour
  pen.strokeStyle = colour
  pen.lineWidth = 2
  for (const shift of [-6, 0, 6]) {
    pen.moveTo(shift, 6)
    pen.lineTo(shift + 6, 0)
  }
  pen.stroke()
  return context.createPattern(tile, 'repeat') ?? colour
}
