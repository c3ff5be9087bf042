// @ts-check
// The row above the board: a button for each reference, in its colour and with its picture, and the tools.
import { element } from '../lib/elements.mjs'
import { say } from '../lib/words.mjs'

/** @typedef {import('./drawing.mjs').Mark & {isConnected: boolean}} Entry */

const BUTTON =
  'display:inline-flex;align-items:center;gap:5px;height:30px;padding:0 7px;border-radius:6px;cursor:pointer;' +
  'font:12px system-ui,sans-serif;color:var(--input-text,#ddd);background:var(--comfy-input-bg,#222)'
const PICTURE = 'width:22px;height:22px;object-fit:cover;border-radius:3px;display:block'
const NAME = 'max-width:90px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap'

/** @param {string} title @param {boolean} isPressed @param {() => void} pressed @param {import('../lib/elements.mjs').Child[]} inside */
export function button(title, isPressed, pressed, ...inside) {
  const made = element(
    'button',
    { type: 'button', title, style: BUTTON, aria: { pressed: isPressed }, on: { click: pressed, keydown: keep } },
    ...inside
  )
  made.style.border = `2px solid ${isPressed ? 'var(--input-text,#ddd)' : 'transparent'}`
  return made
}

/** Keep the keys that press a button from the graph.
 * @param {KeyboardEvent} event */
function keep(event) {
  if (event.key === ' ' || event.key === 'Enter') event.stopPropagation()
}

/** The button of a reference.
 * @param {Entry} entry @param {boolean} isActive @param {() => void} pressed */
export function entry({ number, name, title, colour, picture, isConnected }, isActive, pressed) {
  const seen = picture
    ? element('img', { style: PICTURE, src: picture.src, alt: '' })
    : element('b', { style: `color:${colour}` }, String(number))
  const called = name || (picture ? String(number) : '')
  const said = say(isConnected ? 'regions.draws' : 'regions.unconnected', { name: title })
  const made = button(said, isActive, pressed, seen, called && element('span', { style: NAME }, called))
  made.style.border = `2px ${isConnected ? 'solid' : 'dashed'} ${colour}`
  made.style.background = isActive ? `color-mix(in srgb, ${colour} 35%, var(--comfy-input-bg, #222))` : ''
  made.style.opacity = isActive ? '1' : '0.75'
  made.dataset.reference = String(number)
  return made
}
