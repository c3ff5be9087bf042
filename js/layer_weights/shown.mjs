// @ts-check
// The weights that the inputs of Layer Weights give to the blocks of a model.
import { isProblem, problem, written } from '../lib/weight_text.mjs'
import { weightsOf } from './values.mjs'

/** A model as nodes/controls/blocks.py tells it.
 * @typedef {{kind: string, index: number, layers: number, width: number, set: 'style' | 'composition' | null}} Block
 * @typedef {'blocks' | 'layers'} By
 * @typedef {{title: string, base: string, blocks: Block[],
 *   presets: Record<string, {weights: number[], away: number[]}>,
 *   ways: {blocks: Record<string, number[]>, layers?: Record<string, number[]>}}} Model
 * @typedef {{preset: string, curve: string, first: number, last: number, values: string, index: By}} Inputs */

export const CURVE = 'curve'
export const VALUES = 'values'

/** @typedef {{weights: number[][], away: ReadonlySet<number>, problem?: undefined}} Shown away: blocks in which guidance pushes away */

/** The weights of the layers of each block, or what is wrong.
 * @param {Model} model @param {Inputs} inputs @returns {Shown | import('../lib/weight_text.mjs').Problem} */
export function shown(model, inputs) {
  const { preset, values } = inputs
  if (preset === VALUES) return values.trim() ? plain(weightsOf(values, model.blocks, inputs.index)) : problem('empty')
  if (values.trim()) return problem('unread', { preset })
  if (preset === CURVE) return plain(alongCurve(model, inputs))
  const given = model.presets[preset]
  if (!given) return problem('preset', { preset, model: model.base })
  const weights = model.blocks.map(({ layers }, number) => Array(layers).fill(given.weights[number]))
  return { weights, away: new Set(given.away) }
}

/** @param {number[][] | import('../lib/weight_text.mjs').Problem} weights */
function plain(weights) {
  return isProblem(weights) ? weights : { weights, away: new Set() }
}

/** @param {Model} model @param {Inputs} inputs */
function alongCurve({ blocks, ways }, { curve, first, last, index }) {
  const perLayer = index === 'layers' && ways.layers !== undefined
  const way = (perLayer && ways.layers ? ways.layers : ways.blocks)[curve]
  let layer = 0
  return blocks.map((block, number) =>
    Array.from({ length: block.layers }, () => first + (last - first) * way[perLayer ? layer++ : number])
  )
}

/** A block in words, such as `output 9`. @param {Block} block @param {string} word for its kind */
export function nameOf({ kind, index }, word) {
  return kind === 'middle' ? word : `${word} ${index}`
}

/** The weights of the layers of a block in words: equal ones that follow each other are counted.
 * @param {readonly number[]} layers */
export function amounts(layers) {
  /** @type {[number, number][]} */
  const runs = []
  for (const weight of layers) {
    const last = runs.at(-1)
    if (last && last[0] === weight) last[1] += 1
    else runs.push([weight, 1])
  }
  return runs.map(([weight, count]) => written(weight, 3) + (runs.length > 1 && count > 1 ? ` ×${count}` : '')).join(', ')
}
