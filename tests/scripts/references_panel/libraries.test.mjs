// What the references panel shows of libraries.
import assert from 'node:assert/strict'
import test from 'node:test'

import { aboutPicture, picturePath, readDragged, searchPath, shownPath } from '../../../js/references_panel/libraries.mjs'

const asked = (path) => Object.fromEntries(new URL(path, 'http://a').searchParams)

test('a search asks for a text, for those like a picture, or for the newest', () => {
  assert.deepEqual(asked(searchPath('a & b', { text: 'red = ?' })), { library: 'a & b', k: '60', text: 'red = ?' })
  assert.deepEqual(asked(searchPath('a', { text: 'red', id: 0 })), { library: 'a', k: '60', id: '0' })
  assert.deepEqual(asked(searchPath('a', { text: '' })), { library: 'a', k: '60' })
})

test('the address of a small picture changes with the picture', () => {
  assert.deepEqual(asked(picturePath('a/b', { id: 3, state: 'f0' })), { library: 'a/b', id: '3', state: 'f0' })
})

test('a path is shown as a name and a folder', () => {
  const shown = [
    ['cats/old/black.cat.png', 'black.cat', 'cats/old'],
    ['.png', '.png', ''],
    ['cat', 'cat', '']
  ]
  for (const [path, title, folder] of shown) assert.deepEqual(shownPath(path), { title, folder }, path)
})

test('a score is a cosine and never a percentage', () => {
  const picture = { score: 0.28149, rating: 0, width: 512, height: 768, kind: 'image' }
  const rated = (rating) => (rating > 0 ? 'good' : 'bad')
  assert.equal(aboutPicture(picture, rated), '0.281 · 512 × 768')
  assert.equal(aboutPicture({ ...picture, score: null, rating: -1 }, rated), 'bad · 512 × 768')
  assert.equal(aboutPicture({ ...picture, score: 0, kind: 'features' }, rated), '0.000')
})

test('only what the panel has written is read when it is dropped', () => {
  const dragged = { library: 'a', path: 'b.png', input: '' }
  assert.deepEqual(readDragged(JSON.stringify(dragged)), dragged)
  for (const text of ['', undefined, 'null', '{"library": "a"}', '{"library": "", "path": "b", "input": ""}', '[]']) {
    assert.equal(readDragged(text), undefined, text)
  }
})
