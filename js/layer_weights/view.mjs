// @ts-check
// The bars of Layer Weights: one for each block, drawn with the mouse or moved by keys. What is edited is written into
// the inputs `preset` and `values`.
import { sharpCanvas } from '../lib/canvas.mjs'
import { keepAside } from '../lib/aside.mjs'
import { styled } from '../lib/elements.mjs'
import { follow, isLinked, valueOf, write } from '../lib/inputs.mjs'
import { placeOn } from '../lib/pointer.mjs'
import { COLOURS, choices, frame, inkOf, offer, rangeOf, weightAt } from '../lib/plot.mjs'
import { oneStep } from '../lib/undo.mjs'
import { isProblem, limited } from '../lib/weight_text.mjs'
import { addView } from '../lib/view.mjs'
import { say } from '../lib/words.mjs'
import { drawBars } from './draw.mjs'
import { barAt, layout } from './layout.mjs'
import { UI, modelOf, published } from './models.mjs'
import { VALUES, amounts, nameOf, shown } from './shown.mjs'
import { textOf } from './values.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('./shown.mjs').Model} Model */

const HEIGHT = 160
const WIDTH = 360
const DRAWN = 0.05 // weights that are drawn are round
const FINE = 0.01
const COARSE = 0.1
const DOUBLE_MS = 400
const INPUTS = ['preset', 'curve', 'first', 'last', 'values', 'index']
const KEYS = /** @type {Record<string, number>} */ ({
  ArrowUp: FINE,
  ArrowDown: -FINE,
  PageUp: COARSE,
  PageDown: -COARSE
})

/** @param {Node} node */
export function addBars(node) {
  const models = modelOf(node)
  const { canvas, redraw } = sharpCanvas(draw)
  const select = choices(say('layer_weights.model'), (title) => {
    models.choose(title)
    redraw()
  })
  const view = frame(canvas, [select], say('layer_weights.tip'), HEIGHT)
  const wheelTurned = oneStep()

  /** The weights while a person draws; they are written at most once a frame. @type {number[][] | undefined} */
  let held
  let unwritten = false
  let writing = false
  /** @type {{bar: number, weight: number, kind: boolean, range: import('../lib/plot.mjs').Range} | undefined} */
  let drawing
  let pressed = { bar: -1, at: 0 }
  /** @type {number | undefined} */
  let marked

  // ------------------------------------------------------------------------------------------------------- what is shown

  function inputs() {
    return /** @type {import('./shown.mjs').Inputs} */ (
      Object.fromEntries(INPUTS.map((name) => [name, valueOf(node, name)]))
    )
  }

  const isFixed = () => INPUTS.some((name) => isLinked(node, name))

  /** @param {Model} model */
  function now(model) {
    if (held) return { weights: held, away: new Set(), problem: undefined, given: {} }
    const found = isFixed() ? { problem: 'linked', given: {} } : shown(model, inputs())
    if (!isProblem(found)) return { ...found, problem: undefined, given: {} }
    return { weights: model.blocks.map(({ layers }) => Array(layers).fill(0)), away: new Set(), ...found }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  function draw(context, width, height) {
    flush()
    const model = models.get()
    if (!model) return
    const { weights, away, problem, given } = now(model)
    const ink = inkOf(canvas)
    const range = drawing?.range ?? rangeOf(weights.flat())
    const bars = layout(model.blocks, width, height)
    if (marked !== undefined && marked >= model.blocks.length) marked = undefined
    drawBars(context, { model, weights, away, range, layout: bars, marked, ink })
    offer(select, models.titles().map((title) => ({ value: title, text: title })), model.title)
    view.complain(problem ? say(`layer_weights.problems.${problem}`, given) : '')
    if (marked === undefined) legend(model)
    else tell(describe(model, weights, away, marked))
  }

  /** @param {string} text */
  function tell(text) {
    view.info.textContent = text
    canvas.ariaLabel = text
  }

  /** @param {Model} model */
  function legend({ blocks }) {
    const sets = /** @type {const} */ (['style', 'composition']).filter((set) => blocks.some((block) => block.set === set))
    canvas.ariaLabel = say('layer_weights.tip')
    view.info.replaceChildren(
      ...sets.map((set) => {
        const each = styled('span', 'margin-left:10px', say(`layer_weights.sets.${set}`))
        each.prepend(styled('span', `display:inline-block;width:8px;height:8px;margin-right:4px;background:${COLOURS[set]}`))
        return each
      })
    )
  }

  /** @param {Model} model @param {readonly number[][]} weights @param {ReadonlySet<number>} away @param {number} bar */
  function describe({ blocks }, weights, away, bar) {
    const block = blocks[bar]
    const parts = [
      nameOf(block, say(`layer_weights.kinds.${block.kind}`)),
      ...(block.set ? [say(`layer_weights.sets.${block.set}`)] : []),
      ...(block.layers > 1 ? [say('layer_weights.layers', { count: block.layers })] : []),
      amounts(weights[bar]) + (away.has(bar) ? ` ${say('layer_weights.away')}` : '')
    ]
    return parts.join(' · ')
  }

  // ------------------------------------------------------------------------------------------------------------- editing

  /** Set bars to a weight each: those of `weight` alone, or all of its kind.
   * @param {readonly [bar: number, weight: number][]} changes @param {boolean} [kind] */
  function set(changes, kind = false) {
    const model = models.get()
    if (!model) return
    held ??= now(model).weights.map((layers) => layers.map((weight) => Number(weight.toFixed(4))))
    for (const [bar, weight] of changes)
      for (const [number, block] of model.blocks.entries())
        if (number === bar || (kind && block.kind === model.blocks[bar].kind))
          held[number] = Array(block.layers).fill(Number(limited(weight).toFixed(4)))
    unwritten = true
    redraw()
  }

  function flush() {
    const model = models.get()
    if (!unwritten || !held || !model) return
    unwritten = false
    writing = true
    write(node, 'values', textOf(held, model.blocks, inputs().index))
    write(node, 'preset', VALUES)
    writing = false
  }

  /** Write what was drawn, and read the inputs again. */
  function finish() {
    flush()
    held = drawing = undefined
    redraw()
  }

  /** @param {PointerEvent} event */
  function at(event) {
    const model = models.get()
    if (!model) return undefined
    const { clientWidth: width, clientHeight: height } = canvas
    const place = placeOn(canvas, event)
    const { box, slots } = layout(model.blocks, width, height)
    const range = drawing?.range ?? rangeOf(now(model).weights.flat())
    const weight = Math.round(weightAt(place.y * height, range, box) / DRAWN) * DRAWN
    return { bar: barAt(slots, place.x * width), weight, range }
  }

  canvas.addEventListener('pointerdown', (event) => {
    const place = event.button === 0 && !isFixed() ? at(event) : undefined
    if (!place) return
    canvas.setPointerCapture(event.pointerId)
    const isDouble = place.bar === pressed.bar && event.timeStamp - pressed.at < DOUBLE_MS
    pressed = { bar: isDouble ? -1 : place.bar, at: event.timeStamp }
    drawing = { ...place, kind: event.shiftKey }
    marked = place.bar
    set([[place.bar, isDouble ? 1 : place.weight]], event.shiftKey)
    if (isDouble) finish()
  })

  canvas.addEventListener('pointermove', (event) => {
    const place = at(event)
    if (!place) return
    if (!drawing) {
      if (marked !== place.bar) redraw()
      marked = place.bar
      return
    }
    const { bar, weight, kind } = drawing
    if (place.bar === bar && place.weight === weight) return
    if (kind) {
      set([[bar, place.weight]], true)
      drawing.weight = place.weight
      return
    }
    marked = place.bar
    set(line(drawing, place))
    Object.assign(drawing, { bar: place.bar, weight: place.weight })
  })

  canvas.addEventListener('pointerup', () => drawing && finish())
  canvas.addEventListener('pointercancel', () => drawing && finish())
  canvas.addEventListener('pointerenter', redraw) // the nodes before it may be others now
  canvas.addEventListener('pointerleave', () => {
    if (drawing) return
    marked = undefined
    redraw()
  })

  /** Move the marked bar, and with shift all of its kind. @param {(weight: number) => number} change
   * @param {boolean} kind */
  function move(change, kind) {
    const model = models.get()
    if (!model || marked === undefined || isFixed()) return
    const { weights } = now(model)
    const { kind: own } = model.blocks[marked]
    const moved = [...model.blocks.keys()].filter((bar) => bar === marked || (kind && model.blocks[bar].kind === own))
    set(moved.map((bar) => [bar, change(Math.max(...weights[bar]))]))
    finish()
  }

  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const last = (models.get()?.blocks.length ?? 1) - 1
    const { key, shiftKey } = event
    if (key === 'ArrowLeft') marked = Math.max((marked ?? 1) - 1, 0)
    else if (key === 'ArrowRight') marked = Math.min((marked ?? -1) + 1, last)
    else if (key === 'Home') marked = 0
    else if (key === 'End') marked = last
    else if (key in KEYS) move((weight) => weight + KEYS[key], shiftKey)
    else if (key === '0' || key === 'Delete' || key === 'Backspace') move(() => 0, shiftKey)
    else if (key === '1' || key === 'Enter') move(() => 1, shiftKey)
    else return
    event.preventDefault()
    event.stopPropagation() // the canvas would move or delete the node
    redraw()
  })

  canvas.addEventListener(
    'wheel',
    (event) => {
      if (document.activeElement !== canvas || event.ctrlKey || marked === undefined || isFixed()) return
      event.preventDefault()
      event.stopPropagation()
      wheelTurned()
      move((weight) => weight + (event.deltaY < 0 ? FINE : -FINE), event.shiftKey)
    },
    { passive: false }
  )

  // --------------------------------------------------------------------------------------------------- where it belongs

  keepAside(node, { chooser: 'preset', choice: VALUES, text: 'values' }, () => {
    const model = models.get()
    return model ? textOf(seen(model), model.blocks, inputs().index) : '1'
  })

  /** The weights of the last preset or curve, for somebody who goes on from there.
   * @param {Model} model @returns {number[][]} */
  function seen(model) {
    const found = shown(model, { ...inputs(), preset: lastPreset })
    return (isProblem(found) ? model.blocks.map(({ layers }) => Array(layers).fill(1)) : found.weights).map((layers) =>
      layers.map((weight) => Number(weight.toFixed(3)))
    )
  }

  let lastPreset = String(inputs().preset)
  follow(node, INPUTS, () => {
    if (writing) return
    held = undefined
    if (inputs().preset !== VALUES) lastPreset = String(inputs().preset)
    redraw()
  })

  const connected = node.onConnectionsChange
  node.onConnectionsChange = function (...given) {
    connected?.apply(this, given)
    redraw()
  }
  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.call(this, output)
    models.tell(/** @type {any} */ (output)?.[UI] ?? [])
    redraw()
  }
  void published().then((found) => {
    models.know(found)
    redraw()
  })
  addView(node, 'bars', view.root, { height: HEIGHT, width: WIDTH })
}

/** The bars between two places of the pointer, with the weights on the line between them; not that of the first place.
 * @param {{bar: number, weight: number}} from @param {{bar: number, weight: number}} to
 * @returns {[bar: number, weight: number][]} */
function line(from, to) {
  const count = Math.abs(to.bar - from.bar)
  const way = Math.sign(to.bar - from.bar)
  return Array.from({ length: Math.max(count, 1) }, (_, n) => {
    const part = count ? (n + 1) / count : 1
    return [from.bar + way * (count ? n + 1 : 0), Math.round((from.weight + (to.weight - from.weight) * part) / DRAWN) * DRAWN]
  })
}
