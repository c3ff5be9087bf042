// @ts-check
// The models whose blocks the bars can show, and which of them a node shows.
import { api } from '../../../scripts/api.js'
import { isLinked } from '../lib/inputs.mjs'
import { outputsOf } from '../lib/outputs.mjs'
import { guess } from './guess.mjs'

/** @typedef {import('./shown.mjs').Model} Model */
/** @typedef {import('../../devtools/types/comfy').Node} Node */

export const UI = 'image_prompt_layer_weights' // the rows of the model that a run was given
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
  /** @type {Model[] | undefined} */
  let ran // undefined until it is looked up
  /** What was connected then; undefined until it is looked at. @type {string | undefined} */
  let ranWith

  /** The model of the last run, unless another one is connected by now.
   * @param {string | undefined} base of what is connected @returns {Model[]} */
  function current(base) {
    ran ??= restored()
    const connected = `${isLinked(node, 'model')} ${base}`
    ranWith ??= connected
    return ranWith === connected ? ran : []
  }

  /** What a run told before undo made the node anew; nothing where a person has chosen another model.
   * @returns {Model[]} */
  function restored() {
    const models = outputsOf(node, UI) ?? []
    const chosen = node.properties[CHOSEN]
    return !isLinked(node, 'model') || (chosen && !find(chosen, models)) ? [] : models
  }

  function titles() {
    return [...known.map(({ title }) => title), ...(ran ?? []).map(({ title }) => title)].filter((each, n, all) => all.indexOf(each) === n)
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
      ran = [...models]
      ranWith = undefined
    },
    /** @param {string} title */
    choose(title) {
      node.properties[CHOSEN] = title
      if (!find(title, ran ?? [])) ran = []
    },
    /** @returns {Model | undefined} */
    get() {
      const chosen = node.properties[CHOSEN]
      const base = guess(/** @type {any} */ (node))
      const last = current(base)
      if (last.length) return find(chosen, last) ?? last[0]
      return find(chosen, known) ?? known.find((model) => model.base === base) ?? known[0]
    }
  }
}
