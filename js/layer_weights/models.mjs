// @ts-check
// The models whose blocks the bars can show, and which of them a node shows.
import { api } from '../../../scripts/api.js'
import { guess } from './guess.mjs'

/** @typedef {import('./shown.mjs').Model} Model */
/** @typedef {import('../../devtools/types/comfy').Node} Node */

const CHOSEN = 'image_prompt_model' // the property that holds what a person chose

/** @type {Promise<Model[]> | undefined} */
let asked

/** The published models. They are asked for once; without an answer there are none. */
export function published() {
  asked ??= api
    .fetchApi('/image-prompt/blocks')
    .then((answer) => answer.json())
    .then((answer) => answer.models ?? [])
    .catch(() => (asked = undefined) ?? [])
  return asked
}

/** Which model a node shows: the one with which it ran last, or that a person chose, or that stands before it.
 * @param {Node} node */
export function modelOf(node) {
  /** @type {Model[]} */
  let known = []
  /** @type {Model[]} */
  let ran = []

  function titles() {
    return [...known.map(({ title }) => title), ...ran.map(({ title }) => title)].filter((each, n, all) => all.indexOf(each) === n)
  }

  /** @param {unknown} title @param {readonly Model[]} models */
  const find = (title, models) => models.find((model) => model.title === title)

  return {
    titles,
    /** @param {readonly Model[]} models */
    know(models) {
      known = [...models]
    },
    /** The model is told by a run; a choice between several ways to act in it stays.
     * @param {readonly Model[]} models */
    tell(models) {
      if (models.length) ran = [...models]
    },
    /** @param {string} title */
    choose(title) {
      node.properties[CHOSEN] = title
      if (!find(title, ran)) ran = []
    },
    /** @returns {Model | undefined} */
    get() {
      const chosen = node.properties[CHOSEN]
      if (ran.length) return find(chosen, ran) ?? ran[0]
      const base = guess(/** @type {any} */ (node))
      return find(chosen, known) ?? known.find((model) => model.base === base) ?? known[0]
    }
  }
}
