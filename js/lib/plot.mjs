// @ts-check
// What the views that draw weights share: the range that they show, its lines, and the row above the drawing.
import { styled } from './elements.mjs'

/** @typedef {{low: number, high: number}} Range */
/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

export const COLOURS = { plain: '#5b9bd5', style: '#c77dbb', composition: '#e0a040', wrong: '#ef5350' }
export const FONT = '10px system-ui, sans-serif'

/** The range in which these weights lie: at least from 0 to 1, and in whole numbers.
 * @param {Iterable<number>} weights @returns {Range} */
export function rangeOf(weights) {
  let [low, high] = [0, 1]
  for (const weight of weights) {
    low = Math.min(low, weight)
    high = Math.max(high, weight)
  }
  return { low: Math.floor(low), high: Math.ceil(high) }
}

/** Where a weight is drawn. @param {number} weight @param {Range} range @param {Box} box */
export function heightOf(weight, { low, high }, { top, bottom }) {
  return bottom - ((weight - low) / (high - low)) * (bottom - top)
}

/** The weight that is drawn at a height; outside the box it is that of its edge.
 * @param {number} y @param {Range} range @param {Box} box */
export function weightAt(y, { low, high }, { top, bottom }) {
  const way = (bottom - y) / (bottom - top)
  return low + Math.min(Math.max(way, 0), 1) * (high - low)
}

/** Draw lines at round weights, and the numbers beside them.
 * @param {CanvasRenderingContext2D} context @param {string} colour @param {Range} range @param {Box} box */
export function drawLines(context, colour, range, box) {
  context.save()
  context.font = FONT
  context.textAlign = 'right'
  context.textBaseline = 'middle'
  context.fillStyle = context.strokeStyle = colour
  const step = range.high - range.low > 2 ? 1 : 0.5
  for (let weight = range.low; weight <= range.high; weight += step) {
    const y = Math.round(heightOf(weight, range, box)) + 0.5
    context.globalAlpha = weight === 0 ? 0.4 : 0.12
    context.beginPath()
    context.moveTo(box.left, y)
    context.lineTo(box.right, y)
    context.stroke()
    context.globalAlpha = 0.6
    if (Number.isInteger(weight)) context.fillText(String(weight), box.left - 4, y)
  }
  context.restore()
}

const MARGINS = 20 // above and below a view on the classic canvas
const SELECT =
  'max-width:55%;flex:none;font:inherit;color:inherit;border:none;border-radius:4px;padding:1px 4px;outline-offset:0;' +
  'background:var(--comfy-input-bg,#222);color:var(--input-text,#ddd)'

/** A drop-down list. @param {string} label what it chooses @param {(value: string) => void} chosen */
export function choices(label, chosen) {
  const select = styled('select', SELECT)
  select.title = select.ariaLabel = label
  select.addEventListener('change', () => chosen(select.value))
  return select
}

/** Offer these values, and show one of them. @param {HTMLSelectElement} select
 * @param {readonly {value: string, text: string}[]} options @param {string} value */
export function offer(select, options, value) {
  const now = [...select.options]
  if (now.length !== options.length || options.some((each, n) => now[n].value !== each.value || now[n].text !== each.text))
    select.replaceChildren(...options.map((each) => new Option(each.text, each.value)))
  select.value = value
}

/** The frame of a view: a row for choices and for what is pointed at, the drawing, and a place for what is wrong.
 * @param {HTMLCanvasElement} canvas @param {readonly HTMLElement[]} controls @param {string} tip
 * @param {number} height of the view, as `addView` takes it */
export function frame(canvas, controls, tip, height) {
  const root = styled('div', 'display:flex;flex-direction:column;gap:2px;font:11px system-ui,sans-serif;color:var(--input-text,#ddd)')
  root.style.minHeight = `${height - MARGINS}px` // Nodes 2.0 gives all texts and views of a node the same height
  const row = styled('div', 'display:flex;align-items:center;gap:8px;min-height:19px;flex:none')
  const info = styled('div', 'flex:1;text-align:right;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;opacity:.85')
  const place = styled('div', 'position:relative;flex:1;min-height:0;border-radius:4px')
  const wrong = styled(
    'div',
    `position:absolute;left:28px;right:4px;top:4px;padding:3px 6px;border-radius:4px;pointer-events:none;display:none;` +
      `border:1px solid ${COLOURS.wrong};color:${COLOURS.wrong};background:color-mix(in srgb,var(--comfy-input-bg,#222) 88%,transparent)`
  )
  wrong.role = 'alert'
  canvas.style.position = 'absolute'
  canvas.style.inset = '0'
  canvas.style.borderRadius = '4px'
  canvas.style.outlineOffset = '-1px'
  canvas.tabIndex = 0
  canvas.title = tip
  canvas.dataset.captureWheel = 'true' // Nodes 2.0 leaves the wheel to it while it has the focus
  row.append(...controls, info)
  place.append(canvas, wrong)
  root.append(row, place)
  return {
    root,
    info,
    /** @param {string} text what is wrong; empty: nothing */
    complain(text) {
      if (wrong.textContent === text) return
      wrong.textContent = text
      wrong.style.display = text ? 'block' : 'none'
    }
  }
}

/** The colour in which a view writes. @param {Element} element */
export function inkOf(element) {
  return getComputedStyle(element).color
}
