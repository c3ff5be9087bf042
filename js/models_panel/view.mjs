// @ts-check
// The cards of the models panel as elements.
import { element } from '../lib/elements.mjs'
import { copy, textButton } from '../lib/panel.mjs'
import { say } from '../lib/words.mjs'
import { card, fits, sections } from './rows.mjs'

/** @typedef {import('./rows.mjs').Card} Card */

const OPEN = ['misplaced', 'unusable', 'found'] // sections that are open at first

/**
 * @param {{report: any, needed: any, searched: string, closed: Map<string, boolean>}} shown
 *   closed: what a person has opened and closed, by section
 * @returns {Node[]}
 */
export function panelBody({ report, needed, searched, closed }) {
  const found = sections(report, searched).filter(({ cards }) => cards.length)
  const mine = needed ? needed.items.map((/** @type {any} */ row) => card(row, true)) : []
  const fitting = mine.filter((/** @type {Card} */ each) => fits(each, searched))
  const nothing = say('models.nothing', { searched })
  return [
    workflow(needed, fitting, mine.length),
    ...unread(report),
    ...found.map(({ status, cards }) => section(status, cards, searched !== '', closed)),
    ...(found.length || fitting.length ? [] : [element('p', { class: 'ipp-empty' }, nothing)])
  ]
}

/** What stands instead of everything when the server answers with an error.
 * @param {string} error @param {() => void} again */
export function problem(error, again) {
  const button = textButton('pi-refresh', say('panel.refresh'), again)
  return element('div', { class: 'ipp-empty' }, element('p', {}, error), button)
}

/** @param {any} needed @param {Card[]} cards @param {number} count of all that are needed, searched or not */
function workflow(needed, cards, count) {
  const notes = (needed?.notes ?? []).map((/** @type {{why: string}} */ note) =>
    element('p', { class: 'ipp-note' }, say('models.note', { why: note.why }))
  )
  const first = ['missing', 'misplaced', 'unusable', 'renamed', 'found']
  const order = (/** @type {Card} */ each) => first.indexOf(each.status === 'needed' ? 'missing' : each.status)
  const sorted = [...cards].sort((one, other) => order(one) - order(other))
  return element(
    'section',
    { class: 'ipp-section', data: { section: 'workflow' } },
    element('h3', {}, say('models.workflow')),
    element('p', { class: 'ipp-note' }, sentence(needed, count)),
    ...sorted.map(cardElement),
    ...notes
  )
}

/** @param {any} needed @param {number} count */
function sentence(needed, count) {
  if (!needed) return say('models.asking')
  if (!count) return needed.notes.length ? '' : say('models.none')
  const { missing } = needed
  const key = missing === 0 ? 'complete' : missing === 1 ? 'needed_one' : 'needed'
  return say(`models.${key}`, { missing, count })
}

/** @param {any} report @returns {Node[]} */
function unread({ unread }) {
  if (!unread.length) return []
  return [element('p', { class: 'ipp-note' }, say('models.unread', { folders: unread.join(', ') }))]
}

/** @param {string} status @param {Card[]} cards @param {boolean} isSearched @param {Map<string, boolean>} closed */
function section(status, cards, isSearched, closed) {
  const open = isSearched || !(closed.get(status) ?? !OPEN.includes(status))
  const count = element('span', { class: 'ipp-count' }, String(cards.length))
  const summary = element('summary', {}, say(`models.${status}`), count)
  const made = element('details', { class: 'ipp-section', open, data: { section: status } }, summary)
  const fill = () => made.open && made.childElementCount === 1 && made.append(...grouped(cards))
  summary.addEventListener('click', () => !isSearched && closed.set(status, made.open)) // before it opens or closes
  made.addEventListener('toggle', fill)
  fill()
  return made
}

/** @param {Card[]} cards */
function grouped(cards) {
  const groups = new Set(cards.map((each) => each.group))
  let last = ''
  return cards.flatMap((each) => {
    const title = groups.size > 1 && each.group && each.group !== last ? each.group : ''
    last = each.group
    return [...(title ? [element('div', { class: 'ipp-group' }, title)] : []), cardElement(each)]
  })
}

/** @param {Card} card */
function cardElement({ status, name, about, why, place, link, needed }) {
  const isMissing = status === 'missing' || status === 'needed'
  const state = say(`models.is_${status}`)
  return element(
    'article',
    { class: 'ipp-card', data: { status, name }, aria: { label: `${name}: ${state}` } },
    element('div', { class: 'ipp-name' }, name),
    element('div', { class: 'ipp-about' }, (needed ? [state, ...about] : about).join(' · ')),
    why && element('div', { class: 'ipp-why' }, why),
    place && element('div', { class: 'ipp-place' }, isMissing ? say('models.put', { place }) : place),
    actions(link, place)
  )
}

/** @param {string} link @param {string} place */
function actions(link, place) {
  const title = say('models.open_link')
  const elsewhere = { target: '_blank', rel: 'noopener noreferrer' }
  const open = { class: 'ipp-button', href: link, ...elsewhere, title, aria: { label: title } }
  const external = element('i', { class: 'pi pi-external-link', aria: { hidden: 'true' } })
  return element(
    'div',
    { class: 'ipp-actions' },
    link && textButton('pi-link', say('models.copy_link'), () => copy(link)),
    place && textButton('pi-copy', say('models.copy_path'), () => copy(place)),
    link && element('a', open, external)
  )
}
