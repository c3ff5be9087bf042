// @ts-check
// What the server says of model files, as the panel's cards: which sections there are, in which order, and what each
// card says.

/**
 * @typedef {{name: string, size: string, licence: string, link: string, folder: string, plain: boolean}} Get
 * @typedef {{name: string, folder: string, cached: boolean}} File
 * @typedef {{entry: any, status: string, why: string, file: File | null, get: Get | null, nodes?: string[]}} Row
 * @typedef {{status: string, name: string, about: string[], why: string, place: string, link: string, group: string,
 *   words: string, needed: boolean}} Card
 */

export const SECTIONS = ['misplaced', 'unusable', 'found', 'other', 'missing']
const THERE = ['found', 'renamed'] // of what a workflow needs
const KINDS = ['encoder', 'lora', 'controlnet', 'face pack'] // which many adapters share, and come after them

/** A card of a row of the report, or of what a workflow needs.
 * @param {Row} row @param {boolean} [needed] @returns {Card} */
export function card({ entry, status, why, file, get }, needed = false) {
  const name = (status === 'missing' ? get?.name : file?.name) ?? get?.name ?? ''
  const isThere = THERE.includes(status)
  const about = [entry?.title, ...(isThere ? [] : [get?.size, get?.licence])].filter(Boolean)
  const plain = status === 'missing' && (get?.plain ?? true)
  return {
    status: needed && !isThere && status === 'missing' ? 'needed' : status,
    name,
    about,
    why: plain || (!entry && isThere && needed) ? '' : why,
    place: place(status, file, get),
    link: isThere ? '' : (get?.link ?? ''),
    group: entry?.base_model || entry?.kind || '',
    words: words(name, entry, why),
    needed
  }
}

/** A card of a file that is in no row. @param {any} file @returns {Card} */
export function otherCard(file) {
  const { name, about, problem } = file
  return {
    status: problem ? 'unusable' : 'other',
    name,
    about: problem ? [] : [about].filter(Boolean),
    why: problem ? about : '',
    place: file.folder ? `${file.folder}/${name}` : '',
    link: '',
    group: '',
    words: words(name, file.identity, about),
    needed: false
  }
}

/** The cards of a report by section, those that hold all words of a search.
 * @param {{rows: Row[], others: any[]}} report @param {string} searched */
export function sections({ rows, others }, searched) {
  const cards = [...rows.map((row) => card(row)), ...others.map(otherCard)].filter((each) => fits(each, searched))
  return SECTIONS.map((status) => ({ status, cards: inGroups(cards.filter((each) => each.status === status)) }))
}

/** Whether a card holds all words of a search. @param {Card} card @param {string} searched */
export function fits(card, searched) {
  return searched.split(/\s+/).every((word) => card.words.includes(word))
}

/** The cards of one base model together, in the order of the catalogue, then those that all share.
 * @param {Card[]} cards */
function inGroups(cards) {
  const groups = [...new Set(cards.map((each) => each.group))]
  const rank = (/** @type {string} */ group) => (KINDS.includes(group) ? 1 : 0)
  groups.sort((one, other) => rank(one) - rank(other))
  return groups.flatMap((group) => cards.filter((each) => each.group === group))
}

/** Where a file is, or belongs. @param {string} status @param {File | null} file @param {Get | null} get */
function place(status, file, get) {
  if (status === 'missing') return get ? `${get.folder}/${get.name}` : ''
  if (!file) return ''
  return file.folder ? `${file.folder}/${file.name}` : file.name
}

/** What is searched, in small letters. @param {string} name @param {any} entry @param {string} why */
function words(name, entry, why) {
  const { title, base_model, kind, family, encoder, purposes = [], licence } = entry ?? {}
  const found = [name, title, base_model, kind, family, encoder, ...purposes, licence, why]
  return found.filter(Boolean).join(' ').toLowerCase()
}
