// @ts-check
// The strip below a node: what is wrong with it, and what it said. It comes with the first text and goes with the last,
// and a node is saved as high as it is without it.

import { VIEW } from '../lib/view.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('../../devtools/types/comfy').Widget} Widget */
/** @typedef {{label: string, title: string, act: () => void}} Button */
/** @typedef {{sentence: string, text: string, buttons: Button[]}} Notice */
/** @typedef {{root: HTMLElement, notice: HTMLElement, said: HTMLElement}} Parts */
/** @typedef {Parts & {view?: Widget, height: number, own: number}} Strip `own`: how high the node was before it came */

const NAME = 'image_prompt_notices'
const MARGIN = 6 // between the strip and the node's edge
const GAPS = 8 // that the renderers leave around a widget, at most
const STYLE = `
.image-prompt-strip { box-sizing: border-box; width: 100%; display: flex; flex-direction: column; gap: 4px;
  overflow: hidden; font: 11px/15px Inter, Arial, sans-serif; color: var(--input-text, #ddd); user-select: text }
.image-prompt-strip > div { flex: none }
.image-prompt-said { padding: 0 6px; color: var(--descrip-text, #999) }
.image-prompt-said > div { overflow: hidden; white-space: nowrap; text-overflow: ellipsis }
.image-prompt-notice { padding: 5px 8px 6px; border-left: 3px solid #d9534f; border-radius: 3px;
  background: color-mix(in srgb, #d9534f 16%, transparent); overflow-wrap: anywhere }
.image-prompt-notice > div { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 5px }
.image-prompt-notice > div:empty { display: none }
.image-prompt-notice button { max-width: 100%; padding: 1px 7px; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; font: inherit; color: inherit; cursor: pointer; border-radius: 3px;
  border: 1px solid var(--border-color, #555); background: var(--comfy-input-bg, #222) }
.image-prompt-notice button:hover { border-color: currentColor }
.image-prompt-notice button:focus-visible { outline: 2px solid currentColor; outline-offset: 1px }
`

/** @type {WeakMap<Node, Strip>} */
const strips = new WeakMap()

/** Show what is wrong with a node, or that nothing is.
 * @param {Node} node @param {Notice | undefined} given */
export function showNotice(node, given) {
  if (!given && !strips.has(node)) return
  const strip = stripOf(node)
  strip.notice.replaceChildren()
  strip.notice.hidden = !given
  if (given) {
    const sentence = document.createElement('span')
    sentence.textContent = given.sentence
    const buttons = document.createElement('div')
    buttons.append(...given.buttons.map(button))
    strip.notice.title = given.text
    strip.notice.append(sentence, buttons)
  }
  place(node, strip)
}

/** Show what a node said of its last run; an empty text takes it away.
 * @param {Node} node @param {string} text */
export function showSaid(node, text) {
  if (!text && !strips.has(node)) return
  const strip = stripOf(node)
  if (strip.said.title === text) return
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean)
  strip.said.title = text
  strip.said.hidden = !lines.length
  strip.said.replaceChildren(
    ...lines.map((line) => Object.assign(document.createElement('div'), { textContent: line }))
  )
  place(node, strip)
}

/** @param {Button} given */
function button({ label, title, act }) {
  const made = Object.assign(document.createElement('button'), { type: 'button', textContent: label, title })
  made.addEventListener('click', act)
  made.addEventListener('keydown', (event) => event.stopPropagation())
  return made
}

/** @param {Node} node @returns {Strip} */
function stripOf(node) {
  const known = strips.get(node)
  if (known) return known
  addStyle()
  const [root, notice, said] = ['strip', 'notice', 'said'].map((name) =>
    Object.assign(document.createElement('div'), { className: `image-prompt-${name}` })
  )
  notice.setAttribute('role', 'alert')
  notice.hidden = said.hidden = true
  root.append(notice, said)
  root.addEventListener('wheel', forwardWheel)
  const strip = { root, notice, said, height: 0, own: 0 }
  strips.set(node, strip)
  follow(node, strip)
  return strip
}

/** Keep the node's size right while it is resized, and without the strip where it is saved.
 * @param {Node} node @param {Strip} strip */
function follow(node, strip) {
  const { onResize, onSerialize } = node
  node.onResize = function (size) {
    onResize?.call(this, size)
    if (strip.view && !isVue()) strip.height = heightOf(node, strip)
  }
  node.onSerialize = function (saved) {
    onSerialize?.call(this, saved)
    if (strip.view && saved.size) saved.size = [saved.size[0], ownHeight(strip, saved.size[1])]
  }
}

/** Add the strip, take it away, or make room for what it shows now.
 * @param {Node} node @param {Strip} strip */
function place(node, strip) {
  const own = ownHeight(strip, node.size[1])
  const shows = !(strip.notice.hidden && strip.said.hidden)
  strip.own = own
  strip.height = shows ? heightOf(node, strip) : 0
  if (shows && !strip.view) strip.view = add(node, strip)
  if (!shows && strip.view) {
    node.removeWidget(strip.view)
    strip.view = undefined
  }
  if (!isVue()) node.setSize([node.size[0], Math.max(own, node.computeSize()[1])])
  node.graph?.setDirtyCanvas(true, true)
}

/** @param {Node} node @param {Strip} strip @returns {Widget} */
function add(node, strip) {
  const view = node.addDOMWidget(NAME, VIEW, strip.root, {
    serialize: false, // it is not queued
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: () => strip.height,
    getMaxHeight: () => strip.height,
    getValue: () => '',
    setValue: () => {}
  })
  view.serialize = false // it is not saved
  return view
}

/** How high a node is without its strip, which may fill room that was free before: as it was, unless it was resized.
 * @param {Strip} strip @param {number} height with it */
function ownHeight({ view, root, own, height: known }, height) {
  if (!view) return height
  const rest = height - (isVue() ? root.offsetHeight : known)
  return rest > own + GAPS ? rest : Math.min(height, own)
}

/** The height that the strip needs, measured before it is on the page.
 * @param {Node} node @param {Strip} strip */
function heightOf(node, { root }) {
  const probe = document.createElement('div')
  probe.style.cssText = `position:absolute;visibility:hidden;width:${node.size[0] - 2 * MARGIN}px`
  probe.append(root.cloneNode(true))
  document.body.append(probe)
  const height = probe.offsetHeight
  probe.remove()
  return height + 2 * MARGIN
}

/** On the classic canvas the wheel zooms over the strip too; Nodes 2.0 sees to it itself.
 * @param {WheelEvent} event */
function forwardWheel(event) {
  if (!isVue()) /** @type {any} */ (window).app?.canvas?.processMouseWheel?.(event)
}

function isVue() {
  return Boolean(window.LiteGraph?.vueNodesMode)
}

function addStyle() {
  if (document.getElementById(NAME)) return
  document.head.append(Object.assign(document.createElement('style'), { id: NAME, textContent: STYLE }))
}
