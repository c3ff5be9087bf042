// @ts-check
// Says on the pack's nodes what they did, and why they failed or were refused, with buttons for what would help.
import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'

import { everyNode, inputFor, isMissing, keyOf, nodeOf, stateOf } from './notices/places.mjs'
import { firstSentence, refusal } from './notices/sentences.mjs'
import { showNotice, showSaid } from './notices/strip.mjs'
import { write } from './lib/inputs.mjs'
import { PACK } from './lib/pack.mjs'
import { copy } from './lib/panel.mjs'
import { say } from './lib/words.mjs'

/** @typedef {import('../devtools/types/comfy').Node} Node */
/** @typedef {import('./notices/places.mjs').Remedy} Remedy */
/** @typedef {{text: string, remedies: Remedy[], refused: boolean, input?: string, state?: string}} Notice `refused`: it
 * has not run; `input`: names a file that is not there; `state`: of the node then */

const SAID = 'image_prompt_said'
const CORE_TEXT = '$$node-text-preview' // the widget in which ComfyUI shows such a text, of which one is enough
const PANEL = 'image-prompt.models'
const MODULE = `custom_nodes.${PACK}`

/** @type {Map<string, Map<string, Notice>>} by the id of the graph, and by that under which a node runs */
const notices = new Map()
/** @type {Map<string, string>} the graph that was open when a prompt was queued */
const queuedFrom = new Map()
const QUEUED = 500 // prompts of which this is known

app.registerExtension({
  name: 'image-prompt.notices',

  setup() {
    const events = /** @type {any} */ (api)
    events.addEventListener('image-prompt.notices', onFailed)
    events.addEventListener('progress_text', onText)
    events.addEventListener('execution_start', onStart)
    events.addEventListener('graphChanged', check)
    watchQueue()
  },

  nodeCreated(node) {
    if (isOurs(node)) listen(/** @type {Node} */ (node))
  },

  afterConfigureGraph() {
    check()
    for (const [id, notice] of kept(open())) draw(id, notice)
    for (const [id, node] of ourNodes()) {
      restoreSaid(node, outputs())
      const widget = node.widgets?.find(isMissing)
      if (widget && !kept(open()).has(id)) onMissing(open(), id, widget.name, String(widget.value))
    }
  },

  onNodeOutputsUpdated(/** @type {Record<string, any>} */ given) {
    for (const [, node] of ourNodes()) restoreSaid(node, given)
  },

  refreshComboInNodes: check // there are new lists of files
})

// ------------------------------------------------------------------------------------------------------ what nodes say

/** @param {Node} node */
function listen(node) {
  const before = node.onExecuted
  node.onExecuted = function (output) {
    before?.call(this, output)
    const said = saidIn(output)
    if (said) replaceText(node, said)
  }
}

/** @param {CustomEvent<{nodeId: string, text: string, prompt_id?: string}>} event */
function onText({ detail: { nodeId, text, prompt_id } }) {
  const node = nodeOf(root(), nodeId)
  const here = !prompt_id || (queuedFrom.get(prompt_id) ?? open()) === open()
  if (node && text && here && isOurs(node)) queueMicrotask(() => replaceText(node, text)) // after ComfyUI has shown it
}

/** @param {Node} node @param {string} text */
function replaceText(node, text) {
  const core = node.widgets?.find((widget) => widget.name === CORE_TEXT)
  if (core) node.removeWidget(core)
  showSaid(node, text.trim())
}

/** @param {Node} node @param {Record<string, any>} given */
function restoreSaid(node, given) {
  const said = saidIn(given?.[keyOf(node)])
  if (said) showSaid(node, said)
}

/** @param {any} output @returns {string} */
function saidIn(output) {
  const said = output?.[SAID]?.[0]
  return typeof said === 'string' ? said : ''
}

// ------------------------------------------------------------------------------------------------------- what is wrong

/** @param {CustomEvent<{prompt_id: string, node: string, text: string, remedies: Remedy[]}>} event */
function onFailed({ detail: { prompt_id, node, text, remedies } }) {
  keep(queuedFrom.get(prompt_id) ?? open(), node, { text, remedies, refused: false })
}

/** A new run says anew what is wrong.
 * @param {CustomEvent<{prompt_id: string}>} event */
function onStart({ detail: { prompt_id } }) {
  drop(queuedFrom.get(prompt_id) ?? open(), (notice) => !notice.refused)
}

// ComfyUI tells nobody why it refused a prompt but whoever queued it, who gets the answer itself here too.
function watchQueue() {
  const queue = api.queuePrompt
  api.queuePrompt = function (...given) {
    const graph = open()
    const answer = queue.apply(this, given)
    answer.then(
      ({ prompt_id, node_errors }) => {
        if (prompt_id) queuedFrom.set(prompt_id, graph)
        if (queuedFrom.size > QUEUED) queuedFrom.delete([...queuedFrom.keys()][0])
        onRefused(graph, node_errors)
      },
      (error) => onRefused(graph, error?.response?.node_errors)
    )
    return answer
  }
}

/** @param {string} graph @param {any} errors by the id of the node @returns {void} */
function onRefused(graph, errors) {
  drop(graph, (notice) => notice.refused)
  for (const [id, { errors: given }] of Object.entries(errors ?? {})) {
    const node = nodeOf(root(), id)
    const found = node && isOurs(node) ? refusal(given) : undefined
    if (!found) continue
    const { input, value } = found
    if (found.isOff && isMissing(inputOf(node, input))) onMissing(graph, id, input, String(value))
    else if (!found.isOff) keep(graph, id, { text: found.text, remedies: [], refused: true })
    else {
      const sentence = say('notices.noChoice', { value: String(value), input })
      keep(graph, id, { text: `${sentence}\n${found.text}`, remedies: [], refused: true })
    }
  }
}

/** Say that a file is not there, and then what the server knows of it.
 * @param {string} graph @param {string} id @param {string} input @param {string} value */
async function onMissing(graph, id, input, value) {
  const text = say('notices.noFile', { value, input })
  const notice = { text, remedies: [panel()], refused: true, input }
  keep(graph, id, notice)
  const asked = new URLSearchParams({ input, name: value })
  const answer = await api.fetchApi(`/image-prompt/missing?${asked}`).then((each) => each.json()).catch(() => ({}))
  if (answer.text && kept(graph).get(id) === notice) keep(graph, id, { ...notice, ...answer })
}

/** @param {string} graph @param {string} id @param {Notice} notice */
function keep(graph, id, notice) {
  kept(graph).set(id, notice)
  if (graph === open()) draw(id, notice)
}

/** @param {string} id @param {Notice} notice */
function draw(id, notice) {
  const node = nodeOf(root(), id)
  if (!node || !isOurs(node)) return
  notice.state ??= stateOf(node)
  const buttons = notice.remedies.flatMap((remedy) => button(node, remedy))
  showNotice(node, { sentence: firstSentence(notice.text), text: notice.text, buttons })
}

/** Forget what was wrong before a node or its wires were changed, and files that are there by now. */
function check() {
  for (const [id, { state, input }] of kept(open())) {
    const node = nodeOf(root(), id)
    const isThere = input && !isMissing(inputOf(node, input))
    if (!node || isThere || (state && state !== stateOf(node))) remove(open(), id)
  }
}

/** @param {string} graph @param {(notice: Notice) => boolean} isMeant */
function drop(graph, isMeant) {
  for (const [id, notice] of kept(graph)) if (isMeant(notice)) remove(graph, id)
}

/** @param {string} graph @param {string} id */
function remove(graph, id) {
  kept(graph).delete(id)
  const node = graph === open() ? nodeOf(root(), id) : undefined
  if (node) showNotice(node, undefined)
}

/** @param {string} graph @returns {Map<string, Notice>} */
function kept(graph) {
  const found = notices.get(graph) ?? new Map()
  notices.set(graph, found)
  return found
}

// ----------------------------------------------------------------------------------------------------- what would help

/** @returns {Remedy} */
function panel() {
  return { do: 'open', file: '', inputs: [], link: '' }
}

/** The button of a remedy; none where it cannot be done here.
 * @param {Node} node @param {Remedy} remedy @returns {import('./notices/strip.mjs').Button[]} */
function button(node, remedy) {
  if (remedy.do === 'use') {
    const place = inputFor(node, remedy)
    const label = say('notices.use', { file: remedy.file })
    return place ? [{ label, title: label, act: () => use(place, remedy.file) }] : []
  }
  if (remedy.do === 'copy') {
    const title = `${remedy.file}\n${remedy.link}`
    return [{ label: say('notices.copy', { file: remedy.file }), title, act: () => void copy(remedy.link) }]
  }
  if (!commands().isRegistered?.(PANEL)) return []
  return [{ label: say('notices.panel'), title: say('notices.panelTitle'), act: openPanel }]
}

/** @param {{node: Node, name: string}} place @param {string} file */
function use({ node, name }, file) {
  write(node, name, file)
  const { activeWorkflow } = /** @type {any} */ (app.extensionManager).workflow ?? {}
  const tracker = activeWorkflow?.changeTracker // one step to undo, now and not at the next click
  tracker?.[tracker.captureCanvasState ? 'captureCanvasState' : 'checkState']?.()
  check()
}

async function openPanel() {
  await commands().execute(PANEL)
}

// ------------------------------------------------------------------------------------------------------------ the page

/** @param {any} node */
function isOurs(node) {
  return node.constructor?.nodeData?.python_module === MODULE
}

function ourNodes() {
  return everyNode(root()).filter(([, node]) => isOurs(node))
}

/** @param {Node | undefined} node @param {string} name */
function inputOf(node, name) {
  return node?.widgets?.find((widget) => widget.name === name)
}

/** @returns {any} */
function commands() {
  return app.extensionManager.command
}

function root() {
  return /** @type {any} */ (app).rootGraph ?? app.graph
}

function outputs() {
  return /** @type {any} */ (app).nodeOutputs ?? {}
}

/** @returns {string} the id of the graph that is open, which it keeps where it is undone, saved or opened again */
function open() {
  return String(root()?.id ?? '')
}
