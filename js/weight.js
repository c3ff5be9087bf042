// @ts-check
// A bar from 0 to 1 for the weight of a node. A slider of ComfyUI would go over all that can be typed, so that 0 to 1,
// where most weights lie, were a tenth of it.
import { app } from '../../scripts/app.js'

import { follow, input, valueOf, write } from './lib/inputs.mjs'
import { placeOn } from './lib/pointer.mjs'
import { addView } from './lib/view.mjs'
import { FINE, STEP, after, at, drawn } from './weight/bar.mjs'

/** @typedef {import('../devtools/types/comfy').Node} Node */

/** @type {Record<string, string>} */
const WEIGHTS = {
  ImagePromptApply: 'weight',
  ImagePromptReference: 'weight',
  ImagePromptInstantIDControlNet: 'strength'
}
const HEIGHT = 24
const COLORS = { '': '#3f7fbf', above: '#c7893a', below: '#9a5fb5' }
const LINES = [25, 50, 75].map((x) => `linear-gradient(#ffffff30, #ffffff30) ${x}% 0 / 1px 100% no-repeat`).join(', ')

app.registerExtension({
  name: 'image-prompt.weight',

  nodeCreated(created) {
    const node = /** @type {Node} */ (created)
    const name = WEIGHTS[node.comfyClass ?? '']
    if (name) addBar(node, name)
  }
})

/** @param {Node} node @param {string} name of the input */
function addBar(node, name) {
  const { root, draw } = bar(name)
  const redraw = () => draw(Number(valueOf(node, name)), isWired(node, name))
  const step = (/** @type {{shiftKey: boolean}} */ event) => (event.shiftKey ? FINE : STEP)
  const set = (/** @type {number} */ value) => write(node, name, value)

  root.addEventListener('pointerdown', (event) => {
    event.stopPropagation()
    if (event.button !== 0 || isWired(node, name)) return
    root.focus()
    root.setPointerCapture(event.pointerId)
    set(at(placeOn(root, event).x, step(event)))
  })
  root.addEventListener('pointermove', (event) => {
    if (root.hasPointerCapture(event.pointerId)) set(at(placeOn(root, event).x, step(event)))
  })
  root.addEventListener('keydown', (event) => {
    const { least, most } = limits(node, name)
    const next = after(event.key, Number(valueOf(node, name)), step(event), { least, most })
    if (next === undefined || event.ctrlKey || event.metaKey || isWired(node, name)) return
    event.preventDefault()
    event.stopPropagation()
    app.canvas.emitBeforeChange()
    set(next)
    app.canvas.emitAfterChange() // a key is a step of undo
  })

  withoutOwnBar(node, name)
  addView(node, `${name}_bar`, root, { height: HEIGHT, most: HEIGHT })
  follow(node, [name], redraw)
  const connected = node.onConnectionsChange
  node.onConnectionsChange = function (...given) {
    connected?.apply(this, given)
    redraw()
  }
  redraw()
}

/** The bar, and what draws a number on it.
 * @param {string} name */
function bar(name) {
  const root = document.createElement('div')
  root.tabIndex = 0
  root.setAttribute('role', 'slider')
  root.setAttribute('aria-label', name)
  root.setAttribute('aria-valuemin', '0')
  root.setAttribute('aria-valuemax', '1')
  root.style.cssText =
    `position:relative;width:100%;height:100%;min-height:18px;max-height:${HEIGHT}px;` +
    'box-sizing:border-box;border-radius:6px;overflow:hidden;' +
    `background:${LINES}, #00000060;cursor:ew-resize;touch-action:none;user-select:none;font:11px sans-serif;color:#ddd`
  const fill = root.appendChild(document.createElement('div'))
  fill.style.cssText = 'position:absolute;inset:0 auto 0 0;opacity:.75;pointer-events:none'
  const text = root.appendChild(document.createElement('div'))
  text.style.cssText =
    'position:absolute;inset:0;display:flex;align-items:center;justify-content:space-between;padding:0 8px;' +
    'pointer-events:none;text-shadow:0 0 2px #000'
  const [least, said, most] = [0, 1, 2].map(() => text.appendChild(document.createElement('span')))

  /** @param {number} value @param {boolean} isWired */
  function draw(value, isWired) {
    const { filled, outside } = drawn(value)
    fill.style.width = `${100 * filled}%`
    fill.style.background = COLORS[outside]
    least.textContent = outside === 'below' ? '‹' : '0'
    said.textContent = isWired ? name : `${name} ${value.toFixed(2)}`
    most.textContent = outside === 'above' ? '›' : '1'
    root.style.opacity = isWired ? '0.4' : '1'
    root.setAttribute('aria-valuenow', String(value))
    root.dataset.outside = outside
  }
  return { root, draw }
}

/** Nodes 2.0 fills the field of a number by its place in the whole range, where 1 would look like more than a half; not
 * where this old name of the step, which it steps by no more, is small.
 * @param {Node} node @param {string} name */
function withoutOwnBar(node, name) {
  const { least, most } = limits(node, name)
  const options = input(node, name)?.options
  if (options) options.step = (most - least) / 100
}

/** Whether the number comes by a wire, and is not that on the node.
 * @param {Node} node @param {string} name */
function isWired(node, name) {
  const place = node.findInputSlot(name)
  return place >= 0 && node.isInputConnected(place)
}

/** @param {Node} node @param {string} name */
function limits(node, name) {
  const { min = 0, max = 1 } = input(node, name)?.options ?? {}
  return { least: Number(min), most: Number(max) }
}
