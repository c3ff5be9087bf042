// @ts-check
// A panel beside the graph: a tab of the sidebar with a title, a box to search, buttons and a body.
import { app } from '../../../scripts/app.js'

import { element } from './elements.mjs'
import { say } from './words.mjs'

const STYLE = 'image-prompt-panel-style'

/**
 * @typedef {object} Panel
 * @property {HTMLElement} body what is below the search box
 * @property {() => boolean} isOpen
 * @property {() => void} open
 * @property {(search: string) => void} search put a text into the search box
 * @property {() => string} searched the text in the search box, in small letters
 * @property {(hint: string) => void} setHint say in the empty search box what is searched
 * @property {(chooser: Node | undefined) => void} setChooser an element above the search box
 * @property {(text: string) => void} setBadge on its icon; '' removes it
 * @property {(is: boolean) => void} setBusy while something is asked of the server
 * @property {(text: string) => void} tell say something to who hears the page rather than sees it
 */

/**
 * Register a panel. Its words are `<id of its words>.title`, `.tooltip` and `.search` of the pack.
 *
 * @param {object} given
 * @param {string} given.id
 * @param {string} given.icon of PrimeIcons
 * @param {string} given.words
 * @param {() => void} given.opened
 * @param {() => void} given.searched
 * @param {() => unknown} given.refresh
 * @returns {Panel}
 */
export function addPanel({ id, icon, words, opened, searched, refresh }) {
  addStyle()
  const box = element('input', {
    type: 'search',
    class: 'ipp-search',
    placeholder: say(`${words}.search`),
    aria: { label: say(`${words}.search`) },
    on: { input: searched }
  })
  const again = iconButton('pi-refresh', say('panel.refresh'), refresh)
  const body = element('div', { class: 'ipp-body' })
  const heard = element('div', { class: 'ipp-heard', aria: { live: 'polite' } })
  const above = element('div')
  const root = element(
    'section',
    { class: 'ipp-panel', data: { panel: id }, aria: { label: say(`${words}.title`) } },
    element('header', { class: 'ipp-header' }, element('h2', {}, say(`${words}.title`)), again),
    above,
    element('div', { class: 'ipp-searching' }, box),
    body,
    heard
  )
  root.addEventListener('keydown', (event) => keepKey(event, box))

  const manager = /** @type {any} */ (app.extensionManager)
  manager.registerSidebarTab({
    id,
    icon: `pi ${icon}`,
    title: say(`${words}.label`),
    tooltip: say(`${words}.tooltip`),
    type: 'custom',
    render(/** @type {HTMLElement} */ place) {
      if (root.parentElement === place) return // it is called at each drawing
      place.style.height = '100%'
      place.replaceChildren(root)
      opened()
    },
    destroy: () => root.remove()
  })

  return {
    body,
    isOpen: () => root.isConnected,
    open() {
      if (manager.sidebarTab.activeSidebarTabId !== id) manager.sidebarTab.toggleSidebarTab(id)
    },
    search(text) {
      box.value = text
      searched()
    },
    searched: () => box.value.trim().toLowerCase(),
    setHint(hint) {
      box.placeholder = hint
      box.setAttribute('aria-label', hint)
    },
    setChooser: (chooser) => above.replaceChildren(...(chooser ? [chooser] : [])),
    setBadge(text) {
      const tab = manager.getSidebarTabs().find((/** @type {{id: string}} */ each) => each.id === id)
      if (tab && (tab.iconBadge?.() ?? '') !== text) tab.iconBadge = () => text // the tab is watched, a function is not
    },
    setBusy(is) {
      root.setAttribute('aria-busy', String(is))
      again.classList.toggle('ipp-turns', is)
    },
    tell: (text) => heard.replaceChildren(text)
  }
}

/** A button that shows an icon of PrimeIcons alone.
 * @param {string} icon @param {string} title @param {(event: MouseEvent) => unknown} pressed */
export function iconButton(icon, title, pressed) {
  const click = (/** @type {MouseEvent} */ event) => {
    event.stopPropagation()
    pressed(event)
  }
  return element(
    'button',
    { type: 'button', class: 'ipp-icon', title, aria: { label: title }, on: { click } },
    element('i', { class: `pi ${icon}`, aria: { hidden: 'true' } })
  )
}

/** A button with a text.
 * @param {string} icon @param {string} text @param {(event: MouseEvent) => unknown} pressed */
export function textButton(icon, text, pressed) {
  const inside = [element('i', { class: `pi ${icon}`, aria: { hidden: 'true' } }), text]
  return element('button', { type: 'button', class: 'ipp-button', on: { click: pressed } }, ...inside)
}

/** A short message at the edge of the page.
 * @param {'success' | 'info' | 'warn' | 'error'} severity @param {string} summary @param {string} [detail] */
export function toast(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: severity === 'error' ? 8000 : 2500 })
}

/** Copy a text, and say so.
 * @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    copyBySelection(text) // a page over http may not write there
  }
  toast('success', say('panel.copied'), text)
}

/** @param {string} text */
function copyBySelection(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)
  const area = element('textarea', { value: text, style: 'position:fixed;opacity:0' })
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
  focused?.focus()
}

/** Keys in the panel are not for the graph. Escape empties the search box, and / goes there.
 * @param {KeyboardEvent} event @param {HTMLInputElement} box */
function keepKey(event, box) {
  const isSearching = event.target === box
  if (isSearching && event.key === 'Escape' && box.value) {
    box.value = ''
    box.dispatchEvent(new Event('input'))
  } else if (!isSearching && event.key === '/') {
    event.preventDefault()
    box.focus()
  }
  const isCommand = event.ctrlKey || event.metaKey || event.altKey
  if (!isCommand) event.stopPropagation()
  else if (!isSearching && 'zy'.includes(event.key.toLowerCase())) event.preventDefault() // the graph's, not the box's
}

function addStyle() {
  if (document.getElementById(STYLE)) return
  const href = new URL('./panel.css', import.meta.url).href
  document.head.append(element('link', { id: STYLE, rel: 'stylesheet', href }))
}
