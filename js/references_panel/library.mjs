// @ts-check
// The part of the panel that shows a library: the newest of its pictures, those that fit a text, and those like one.
import { api } from '../../../scripts/api.js'

import { copy } from '../lib/panel.mjs'
import { say } from '../lib/words.mjs'
import { insertImage, insertNearest } from './insert.mjs'
import { searchPath } from './libraries.mjs'
import { chooser, libraryBody } from './library_view.mjs'

/** @typedef {import('./libraries.mjs').Library} Library */
/** @typedef {import('./libraries.mjs').Found} Found */

const PAUSE_MS = 400 // of typing, after which a text is searched

export class LibraryPart {
  /** @type {Library[]} */
  libraries = []
  name = '' // of the library that is shown; '' where saved features are
  /** @type {Found | undefined} */
  like = undefined
  asked = 0 // searches; the answer to an old one is dropped
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  typing = undefined

  /**
   * @param {import('../lib/panel.mjs').Panel} panel
   * @param {(response: Response) => Promise<any>} answered the answer of a route; it fails with its message
   * @param {{features: () => unknown, fail: (error: unknown) => void}} elsewhere show saved features; show an error
   */
  constructor(panel, answered, elsewhere) {
    this.panel = panel
    this.answered = answered
    this.elsewhere = elsewhere
  }

  /** Which libraries there are. One that is gone is no longer shown. */
  async list() {
    const { libraries } = await this.answered(await api.fetchApi('/image-prompt/libraries'))
    this.libraries = libraries
    if (this.name && !this.library) this.choose('')
    const choose = (/** @type {string} */ name) => this.choose(name)
    this.panel.setChooser(libraries.length ? chooser(libraries, this.name, choose) : undefined)
    this.hint()
  }

  get library() {
    return this.libraries.find(({ name }) => name === this.name)
  }

  /** @param {string} name */
  choose(name) {
    this.name = name
    this.like = undefined
    this.hint()
    this.panel.search('')
    if (name) this.show()
    else this.elsewhere.features()
  }

  hint() {
    this.panel.setHint(this.name ? say('libraries.search') : say('references.search'))
  }

  /** Search what is typed, after a pause. */
  typed() {
    clearTimeout(this.typing)
    this.like = undefined
    this.typing = setTimeout(() => this.show(), PAUSE_MS)
  }

  /** Ask for the pictures, and show them. */
  async show() {
    clearTimeout(this.typing)
    const { library, like } = this
    if (!library || !this.panel.isOpen()) return
    const asked = ++this.asked
    const searched = this.panel.searched()
    this.panel.setBusy(true)
    try {
      if (library.error) throw new Error(library.error)
      const query = like ? { id: like.id } : { text: searched }
      const { found } = await this.answered(await api.fetchApi(searchPath(library.name, query)))
      if (asked !== this.asked || library.name !== this.name) return
      this.panel.body.replaceChildren(...libraryBody({ library, found, like, searched }, this.deeds))
      this.panel.tell(say('libraries.found', { count: found.length }))
    } catch (error) {
      if (asked === this.asked && library.name === this.name) this.elsewhere.fail(error)
    } finally {
      this.panel.setBusy(false)
    }
  }

  /** @type {import('./library_view.mjs').Deeds} */
  deeds = {
    similar: (found) => this.turn(found),
    back: () => this.turn(undefined),
    nearest: async (dragged) => {
      await insertNearest(dragged)
      this.panel.tell(say('references.inserted', { name: dragged.path }))
    },
    load: async (dragged) => {
      await insertImage(dragged)
      this.panel.tell(say('references.inserted', { name: dragged.input }))
    },
    copy
  }

  /** Show the pictures that are like one, or all again.
   * @param {Found | undefined} like */
  async turn(like) {
    this.like = like
    await this.show()
    const first = /** @type {HTMLElement | null} */ (this.panel.body.querySelector('.ipp-reference'))
    first?.focus()
  }
}
