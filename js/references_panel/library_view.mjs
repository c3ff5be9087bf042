// @ts-check
// Which library is shown, and its pictures as cards.
import { api } from '../../../scripts/api.js'

import { element } from '../lib/elements.mjs'
import { iconButton, textButton } from '../lib/panel.mjs'
import { say } from '../lib/words.mjs'
import { aboutPicture, picturePath, shownPath } from './libraries.mjs'
import { empty, moveFocus } from './view.mjs'

/** @typedef {import('./libraries.mjs').Library} Library */
/** @typedef {import('./libraries.mjs').Found} Found */
/** @typedef {import('./libraries.mjs').Dragged} Dragged */

export const DRAGGED_PICTURE = 'application/x-image-prompt-picture' // a `Dragged` as JSON, while it is dragged

/**
 * What is shown of a library.
 * @typedef {{library: Library, found: Found[], like?: Found, searched: string}} Shown
 *
 * What a person does with a picture.
 * @typedef {object} Deeds
 * @property {(found: Found) => unknown} similar
 * @property {() => unknown} back
 * @property {(dragged: Dragged) => unknown} nearest
 * @property {(dragged: Dragged) => unknown} load
 * @property {(path: string) => unknown} copy
 */

/** A box in which saved features or a library are chosen.
 * @param {Library[]} libraries @param {string} chosen @param {(name: string) => unknown} choose */
export function chooser(libraries, chosen, choose) {
  const options = libraries.map(({ name, count }) => option(name, say('libraries.option', { name, count })))
  const box = element(
    'select',
    {
      class: 'ipp-search ipp-chooser',
      aria: { label: say('libraries.choose') },
      on: { change: () => choose(box.value), keydown: (/** @type {Event} */ event) => event.stopPropagation() }
    },
    option('', say('libraries.features')),
    ...options
  )
  box.value = chosen
  return box
}

/** @param {string} value @param {string} text */
function option(value, text) {
  return element('option', { value }, text)
}

/** @param {Shown} shown @param {Deeds} deeds @returns {Node[]} */
export function libraryBody({ library, found, like, searched }, deeds) {
  if (!library.count) return [empty(say('libraries.empty'), 'pi-images')]
  if (!found.length) return [empty(say('libraries.nothing'), 'pi-search')]
  const grid = element('div', { class: 'ipp-grid', aria: { role: 'list' } })
  grid.append(...found.map((each) => card(library.name, each, deeds)))
  grid.addEventListener('keydown', (event) => moveFocus(event, grid))
  return [heading(library, like, searched, deeds), grid]
}

/** @param {Library} library @param {Found | undefined} like @param {string} searched @param {Deeds} deeds */
function heading({ count }, like, searched, deeds) {
  const how = searched ? say('libraries.scores') : say('libraries.newest', { count })
  if (!like) return element('p', { class: 'ipp-note' }, how)
  const back = textButton('pi-arrow-left', say('libraries.back'), deeds.back)
  return element('p', { class: 'ipp-note' }, back, ` ${say('libraries.similar', { name: shownPath(like.path).title })}`)
}

/** @param {string} library @param {Found} found @param {Deeds} deeds */
function card(library, found, deeds) {
  const { path, input, text } = found
  const { title, folder } = shownPath(path)
  const about = aboutPicture(found, (rating) => say(rating > 0 ? 'libraries.good' : 'libraries.bad'))
  const dragged = { library, path, input }
  return element(
    'div',
    {
      class: 'ipp-reference',
      tabIndex: 0,
      draggable: true,
      title: [path, text].filter(Boolean).join('\n'),
      data: { path },
      aria: { role: 'listitem', label: [path, about].filter(Boolean).join('. ') },
      on: {
        click: () => deeds.similar(found),
        dragstart: (/** @type {DragEvent} */ event) => drag(event, dragged),
        keydown: (/** @type {KeyboardEvent} */ event) => press(event, found, deeds)
      }
    },
    element('div', { class: 'ipp-picture' }, picture(library, found)),
    element(
      'div',
      { class: 'ipp-caption' },
      folder && element('div', { class: 'ipp-about' }, `${folder}/`),
      element('div', { class: 'ipp-name' }, title),
      element('div', { class: 'ipp-about' }, about)
    ),
    element(
      'div',
      { class: 'ipp-tools' },
      iconButton('pi-plus', say('libraries.nearest', { title }), () => deeds.nearest(dragged)),
      input && iconButton('pi-image', say('libraries.load', { title }), () => deeds.load(dragged)),
      iconButton('pi-copy', say('libraries.copy', { title }), () => deeds.copy(path))
    )
  )
}

/** Where the file is gone, or shows nothing, a sign takes its place.
 * @param {string} library @param {Found} found */
function picture(library, found) {
  const instead = () => shown.replaceWith(element('i', { class: 'pi pi-image' }))
  const src = api.apiURL(picturePath(library, found))
  const shown = element('img', { src, alt: '', loading: 'lazy', draggable: false, on: { error: instead } })
  return shown
}

/** @param {DragEvent} event @param {Dragged} dragged */
function drag(event, dragged) {
  if (!event.dataTransfer) return
  event.dataTransfer.setData(DRAGGED_PICTURE, JSON.stringify(dragged))
  event.dataTransfer.effectAllowed = 'copy'
}

/** @param {KeyboardEvent} event @param {Found} found @param {Deeds} deeds */
function press(event, found, deeds) {
  if (event.target !== event.currentTarget) return // a button in it
  if (event.key !== 'Enter' && event.key !== ' ') return
  event.preventDefault()
  deeds.similar(found)
}
