// @ts-check
// The input `values` of Layer Weights: what it says, and how to write weights shortly, as Python reads them in
// ip_adapter/layer_weights/kinds.py. One table of examples holds both together.
import { isProblem, problem, quoted, weight, written } from '../lib/weight_text.mjs'

/** @typedef {import('../lib/weight_text.mjs').Problem} Problem */
/** @typedef {'blocks' | 'layers'} By */
/** @typedef {{kind: string, layers: number}} Block */
/** @typedef {{listed: number[]} | {indexed: [number, number][]}} Said */
/** @typedef {number[][]} Weights of the layers of each block, in the order in which they run */

const BETWEEN = /\s*,\s*|\s*\n\s*/
const INDEX = /^\d{1,4}$/

/** The weights that a text says for these blocks, or what is wrong with it.
 * @param {string} text @param {readonly Block[]} blocks @param {By} by @returns {Weights | Problem} */
export function weightsOf(text, blocks, by) {
  const said = parsed(text)
  if (isProblem(said)) return said
  return 'listed' in said ? fromList(said.listed, blocks) : fromIndices(said.indexed, blocks, by)
}

/** @param {string} text @returns {Said | Problem} */
function parsed(text) {
  const words = text.trim().split(BETWEEN)
  if (!words.some((word) => word.includes(':'))) {
    const listed = words.map(weight)
    const wrong = listed.indexOf(undefined)
    return wrong < 0 ? { listed: /** @type {number[]} */ (listed) } : problem('number', { word: quoted(words[wrong]) })
  }
  /** @type {Map<number, number>} */
  const found = new Map()
  for (const word of words) {
    const [index, value] = cut(word)
    if (value === undefined || !INDEX.test(index)) return problem('pair', { word: quoted(word) })
    if (found.has(Number(index))) return problem('twice', { index: Number(index) })
    const amount = weight(value)
    if (amount === undefined) return problem('number', { word: quoted(value) })
    found.set(Number(index), amount)
  }
  return { indexed: [...found] }
}

/** What is before and after the first colon.
 * @param {string} word @returns {[string, string | undefined]} */
function cut(word) {
  const colon = word.indexOf(':')
  return colon < 0 ? [word.trim(), undefined] : [word.slice(0, colon).trim(), word.slice(colon + 1).trim()]
}

/** @param {number[]} listed @param {readonly Block[]} blocks @returns {Weights | Problem} */
function fromList(listed, blocks) {
  const way = divisions(blocks).find(({ count }) => count === listed.length)
  if (!way) return problem('count', { count: listed.length, counts: divisions(blocks).map(({ count }) => count).join(', ') })
  return blocks.map((block, number) => layersOf(block, (layer) => listed[way.part(number, layer)]))
}

/** @param {[number, number][]} indexed @param {readonly Block[]} blocks @param {By} by @returns {Weights | Problem} */
function fromIndices(indexed, blocks, by) {
  const { count, part } = parts(blocks, by)
  const outside = indexed.find(([index]) => index >= count)
  if (outside) return problem('outside', { index: outside[0], last: count - 1, by })
  const values = new Map(indexed)
  return blocks.map((block, number) => layersOf(block, (layer) => values.get(part(number, layer)) ?? 0))
}

/** @param {Block} block @param {(layer: number) => number} each @returns {number[]} */
function layersOf(block, each) {
  return Array.from({ length: block.layers }, (_, layer) => each(layer))
}

/** A way to divide the layers of a model into parts: how many there are, and in which a layer of a block is.
 * @typedef {{count: number, part: (block: number, layer: number) => number}} Division */

/** Every way in which weights can be listed: for all, for each kind, for each block and for each layer.
 * @param {readonly Block[]} blocks @returns {Division[]} */
function divisions(blocks) {
  const kinds = [...new Set(blocks.map((block) => block.kind))]
  const layers = parts(blocks, 'layers')
  return [
    { count: 1, part: () => 0 },
    ...(kinds.length > 1 ? [{ count: kinds.length, part: byKind(blocks, kinds) }] : []),
    parts(blocks, 'blocks'),
    ...(layers.count > blocks.length ? [layers] : [])
  ]
}

/** @param {readonly Block[]} blocks @param {string[]} kinds */
function byKind(blocks, kinds) {
  return (/** @type {number} */ block) => kinds.indexOf(blocks[block].kind)
}

/** @param {readonly Block[]} blocks @param {By} by @returns {Division} */
function parts(blocks, by) {
  if (by === 'blocks') return { count: blocks.length, part: (block) => block }
  /** @type {number[]} */
  const before = []
  let count = 0
  for (const { layers } of blocks) {
    before.push(count)
    count += layers
  }
  return { count, part: (block, layer) => before[block] + layer }
}

/** The shortest text that says these weights; of equally short ones that for the largest parts.
 * @param {Weights} weights @param {readonly Block[]} blocks @param {By} by what single numbers count */
export function textOf(weights, blocks, by) {
  const lists = divisions(blocks).map((way) => together(weights, way)?.map((value) => written(value ?? 0)).join(', '))
  const single = together(weights, parts(blocks, by))
  const pairs = single?.flatMap((value, index) => (value ? [`${index}:${written(value)}`] : [])).join(', ')
  return [...lists, pairs || undefined].reduce(
    (best, text) => (text !== undefined && (best === undefined || text.length < best.length) ? text : best)
  ) ?? '0'
}

/** One weight for each part; undefined if the layers of a part differ.
 * @param {Weights} weights @param {Division} way @returns {number[] | undefined} */
function together(weights, { count, part }) {
  /** @type {(number | undefined)[]} */
  const found = new Array(count).fill(undefined)
  for (const [block, layers] of weights.entries())
    for (const [layer, value] of layers.entries()) {
      const place = part(block, layer)
      if ((found[place] ?? value) !== value) return undefined
      found[place] = value
    }
  return /** @type {number[]} */ (found)
}
