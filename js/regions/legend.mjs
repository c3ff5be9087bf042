// @ts-check
// The row above the board: a button for each reference, in its colour and with its picture, and the tools.
import { say } from '../lib/words.mjs'

/** @typedef {import('./drawing.mjs').Mark & {isConnected: boolean}} Entry */

const BUTTON =
  'display:inline-flex;align-items:center;gap:5px;height:30px;padding:0 7px;border-radius:6px;cursor:pointer;' +
  'font:12px system-ui,sans-serif;color:var(--input-text,#ddd);background:var(--comfy-input-bg,#222)'
const PICTURE = 'width:22px;height:22px;object-fit:cover;border-radius:3px;display:block'
const NAME = 'max-width:90px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap'

/** @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} style @param {(string | Node)[]} inside */
export function element(tag, style, ...inside) {
  const made = document.createElement(tag)
  made.style.cssText = style
  made.append(...inside)
  return made
}

/** @param {string} title @param {boolean} isPressed @param {() => void} pressed @param {(string | Node)[]} inside */
export function button(title, isPressed, pressed, ...inside) {
  const made = element('button', BUTTON, ...inside)
  made.type = 'button'
  made.title = title
  made.ariaPressed = String(isPressed)
  made.style.border = `2px solid ${isPressed ? 'var(--input-text,#ddd)' : 'transparent'}`
  made.addEventListener('click', pressed)
  made.addEventListener('keydown', (event) => {
    if (event.key === ' ' || event.key === 'Enter') event.stopPropagation()
  })
  return made
}

/** The button of a reference.
 * @param {Entry} entry @param {boolean} isActive @param {() => void} pressed */
export function entry({ number, name, title, colour, picture, isConnected }, isActive, pressed) {
  const seen = picture ? element('img', PICTURE) : element('b', `color:${colour}`, String(number))
  const called = name || (picture ? String(number) : '')
  if (picture && seen instanceof HTMLImageElement) {
    seen.src = picture.src
    seen.alt = ''
  }
  const said = say(isConnected ? 'regions.draws' : 'regions.unconnected', { name: title })
  const made = button(said, isActive, pressed, seen, element('span', NAME, called))
  made.style.border = `2px ${isConnected ? 'solid' : 'dashed'} ${colour}`
  made.style.background = isActive ? `color-mix(in srgb, ${colour} 35%, var(--comfy-input-bg, #222))` : ''
  made.style.opacity = isActive ? '1' : '0.75'
  made.dataset.reference = String(number)
  return made
}
