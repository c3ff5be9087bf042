// @ts-check
// The references as cards with a thumbnail.
import { api } from '../../../scripts/api.js'

import { element } from '../lib/elements.mjs'
import { iconButton } from '../lib/panel.mjs'
import { say } from '../lib/words.mjs'
import { fitting, moved, shownName, thumbnailPath } from './list.mjs'

/** @typedef {import('./list.mjs').Reference} Reference */

export const DRAGGED = 'application/x-image-prompt-reference' // a name, while it is dragged

/**
 * What a person does with a reference.
 * @typedef {{insert: (reference: Reference) => unknown, remove: (reference: Reference) => unknown}} Deeds
 */

/** @param {Reference[]} references @param {string} searched @param {Deeds} deeds @returns {Node[]} */
export function panelBody(references, searched, deeds) {
  if (!references.length) return [empty(say('references.empty'), 'pi-images')]
  const shown = fitting(references, searched)
  if (!shown.length) return [empty(say('references.nothing', { searched }), 'pi-search')]
  const grid = element('div', { class: 'ipp-grid', aria: { role: 'list' } }, ...shown.map((each) => card(each, deeds)))
  grid.addEventListener('keydown', (event) => moveFocus(event, grid))
  return [element('p', { class: 'ipp-note' }, say('references.how')), grid]
}

/** A text in the place of cards.
 * @param {string} text @param {string} icon */
export function empty(text, icon) {
  return element('div', { class: 'ipp-empty' }, element('i', { class: `pi ${icon}`, aria: { hidden: 'true' } }), text)
}

/** @param {Reference} reference @param {Deeds} deeds */
function card(reference, deeds) {
  const { name, problem, undeletable } = reference
  const { title, folder } = shownName(name)
  const remove = () => deeds.remove(reference)
  const stays = undeletable && say('references.stays', { why: undeletable })
  return element(
    'div',
    {
      class: 'ipp-reference',
      tabIndex: 0,
      draggable: !problem,
      title: [name, problem, stays].filter(Boolean).join('\n'),
      data: { name },
      aria: { role: 'listitem', label: `${name}. ${about(reference)}` },
      on: {
        click: () => problem || deeds.insert(reference),
        dragstart: (/** @type {DragEvent} */ event) => drag(event, name),
        keydown: (/** @type {KeyboardEvent} */ event) => press(event, reference, deeds)
      }
    },
    element('div', { class: 'ipp-picture' }, picture(reference)),
    element(
      'div',
      { class: 'ipp-caption' },
      folder && element('div', { class: 'ipp-about' }, `${folder}/`),
      element('div', { class: 'ipp-name' }, title),
      element('div', { class: problem ? 'ipp-about ipp-problem' : 'ipp-about' }, about(reference))
    ),
    undeletable ? null : iconButton('pi-trash', say('references.delete', { name }), remove)
  )
}

/** @param {Reference} reference */
function picture(reference) {
  if (reference.problem) return element('i', { class: 'pi pi-exclamation-triangle' })
  if (!reference.thumbnail) return element('i', { class: 'pi pi-image' })
  return element('img', { src: api.apiURL(thumbnailPath(reference)), alt: '', loading: 'lazy', draggable: false })
}

/** @param {Reference} reference */
function about({ maker, pictures, kept_for, saved, problem }) {
  if (problem) return problem
  const count = say(pictures === 1 ? 'references.picture' : 'references.pictures', { pictures })
  const date = new Date(1000 * saved).toLocaleDateString(undefined, { dateStyle: 'medium' })
  return [maker, kept_for && say('references.kept_for', { kept_for }), count, date].filter(Boolean).join(' · ')
}

/** @param {DragEvent} event @param {string} name */
function drag(event, name) {
  if (!event.dataTransfer) return
  event.dataTransfer.setData(DRAGGED, name)
  event.dataTransfer.effectAllowed = 'copy'
}

/** Enter inserts, Delete deletes.
 * @param {KeyboardEvent} event @param {Reference} reference @param {Deeds} deeds */
function press(event, reference, deeds) {
  if (event.target !== event.currentTarget) return // the button in it
  const deed = { Enter: deeds.insert, ' ': deeds.insert, Delete: deeds.remove, Backspace: deeds.remove }[event.key]
  if (!deed) return
  event.preventDefault()
  if (deed === deeds.remove || !reference.problem) deed(reference)
}

/** Arrow keys go to the next card.
 * @param {KeyboardEvent} event @param {HTMLElement} grid */
export function moveFocus(event, grid) {
  const cards = /** @type {HTMLElement[]} */ ([...grid.children])
  const place = cards.findIndex((each) => each.contains(document.activeElement))
  const columns = cards.filter((each) => each.offsetTop === cards[0]?.offsetTop).length
  const next = moved(event.key, place, cards.length, columns)
  if (next === undefined) return
  event.preventDefault()
  cards[next].focus()
}
