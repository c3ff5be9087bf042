// @ts-check
// The panel of saved features, which are seen by their thumbnails, found by name, put into the graph by a click or by
// dragging them onto it, and deleted after a question; and of libraries of pictures, which are only looked at.
import { api } from '../../scripts/api.js'
import { app } from '../../scripts/app.js'
import { addPanel, textButton, toast } from './lib/panel.mjs'
import { element } from './lib/elements.mjs'
import { say } from './lib/words.mjs'
import { insert, insertNearest } from './references_panel/insert.mjs'
import { readDragged } from './references_panel/libraries.mjs'
import { LibraryPart } from './references_panel/library.mjs'
import { DRAGGED_PICTURE } from './references_panel/library_view.mjs'
import { DRAGGED, panelBody } from './references_panel/view.mjs'

/** @typedef {import('./references_panel/list.mjs').Reference} Reference */

const ID = 'image-prompt-references'
const COMMAND = 'image-prompt.references'
const SAVES = ['ImagePromptSaveFeatures', 'ImagePromptAddToLibrary', 'ImagePromptRateInLibrary']

/** @type {import('./lib/panel.mjs').Panel} */
let panel
/** @type {LibraryPart} */
let libraryPart
/** @type {Reference[] | null} */
let references = null
let shown = '' // what is drawn

app.registerExtension({
  name: COMMAND,
  commands: [
    { id: COMMAND, label: 'Image Prompt: show saved references', icon: 'pi pi-images', function: () => panel.open() }
  ],
  menuCommands: [{ path: ['Extensions', 'Image Prompt'], commands: [COMMAND] }],

  setup() {
    const asked = { opened: ask, searched: () => (libraryPart.name ? libraryPart.typed() : draw()), refresh: ask }
    panel = addPanel({ id: ID, icon: 'pi-images', words: 'references', ...asked })
    libraryPart = new LibraryPart(panel, answered, { features: drawAnew, fail })
    document.addEventListener('dragover', dragOver)
    document.addEventListener('drop', drop, true)
    api.addEventListener('executed', ({ detail }) => panel.isOpen() && hasSaved(detail) && ask())
  }
})

/** Whether this is the result of a node that saves features, or changes a library.
 * @param {any} detail */
function hasSaved({ display_node, node }) {
  const graph = /** @type {any} */ (app).rootGraph ?? app.graph
  return SAVES.includes(graph.getNodeById(display_node ?? node)?.type) || String(node).includes(':')
}

async function ask() {
  panel.setBusy(true)
  try {
    const listed = libraryPart.list()
    show(await answered(await api.fetchApi('/image-prompt/references')))
    await listed
    await libraryPart.show()
  } catch (error) {
    fail(error)
  } finally {
    panel.setBusy(false)
  }
}

/** @param {Reference} reference */
async function remove({ name, undeletable }) {
  const stays = say('references.stays', { why: undeletable })
  if (undeletable) return toast('warn', say('references.not_deleted', { name }), stays)
  const { dialog } = /** @type {any} */ (app.extensionManager)
  const title = say('references.confirm')
  const message = say('references.confirm_text')
  if (!(await dialog.confirm({ title, message, type: 'delete', itemList: [name] }))) return
  const place = cards().findIndex((each) => each.dataset.name === name)
  try {
    const headers = { 'Content-Type': 'application/json' }
    const body = JSON.stringify({ name })
    show(await answered(await api.fetchApi('/image-prompt/references/delete', { method: 'POST', headers, body })))
    panel.tell(say('references.deleted', { name }))
    const left = cards()
    left[Math.min(place, left.length - 1)]?.focus()
  } catch (error) {
    toast('error', say('references.not_deleted', { name }), text(error))
    await ask()
  }
}

/** @param {Response} response */
async function answered(response) {
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.error)
  return answer
}

/** @param {{references: Reference[]}} answer */
function show(answer) {
  references = answer.references
  draw()
}

function drawAnew() {
  shown = ''
  draw()
}

function draw() {
  if (!panel.isOpen() || !references || libraryPart.name) return
  const now = JSON.stringify([references, panel.searched()])
  if (now === shown && panel.body.childElementCount) return
  shown = now
  panel.body.replaceChildren(...panelBody(references, panel.searched(), { insert: put, remove }))
}

/** @param {unknown} error */
function fail(error) {
  shown = ''
  const again = textButton('pi-refresh', say('panel.refresh'), ask)
  panel.body.replaceChildren(element('div', { class: 'ipp-empty' }, element('p', {}, text(error)), again))
}

/** @param {unknown} error */
function text(error) {
  return error instanceof Error ? error.message : String(error)
}

/** @param {Reference} reference */
async function put({ name }) {
  await insert(name)
  panel.tell(say('references.inserted', { name }))
}

function cards() {
  return /** @type {HTMLElement[]} */ ([...panel.body.querySelectorAll('.ipp-reference')])
}

// ------------------------------------------------------------------------------------------------------------ dragging

/** @param {DragEvent} event */
function dragOver(event) {
  if (!isOverGraph(event)) return
  event.preventDefault()
  if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy'
}

/** @param {DragEvent} event */
async function drop(event) {
  if (!isOverGraph(event)) return
  event.preventDefault()
  event.stopPropagation() // no file is dropped
  const at = /** @type {[number, number]} */ ([event.clientX, event.clientY])
  const name = event.dataTransfer?.getData(DRAGGED)
  const picture = readDragged(event.dataTransfer?.getData(DRAGGED_PICTURE))
  if (name) await insert(name, at)
  if (picture) await insertNearest(picture, at)
}

/** Whether a reference, or a picture of a library, is dragged over the graph, and not over a panel beside it.
 * @param {DragEvent} event */
function isOverGraph({ dataTransfer, clientX, clientY }) {
  if (!dataTransfer?.types.some((type) => [DRAGGED, DRAGGED_PICTURE].includes(type))) return false
  const graph = (document.querySelector('.graph-canvas-panel') ?? app.canvas.canvas).getBoundingClientRect()
  return clientX >= graph.left && clientX <= graph.right && clientY >= graph.top && clientY <= graph.bottom
}
