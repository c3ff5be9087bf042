import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ASSET, LINK, mayHavePictures, named, stored } from '../../../js/drops/items.mjs'

const PAGE = 'http://127.0.0.1:8188/'
const dragged = (files, types = []) => ({ items: files.map((type) => ({ kind: 'file', type })), types })

test('pictures are known by the kinds that are dragged', () => {
  assert.equal(mayHavePictures(dragged(['image/png'])), true)
  assert.equal(mayHavePictures(dragged([''])), true)
  assert.equal(mayHavePictures(dragged(['application/json'])), false)
  assert.equal(mayHavePictures(dragged([], [ASSET])), true)
  assert.equal(mayHavePictures(dragged([], [LINK])), true)
  assert.equal(mayHavePictures(dragged([], ['text/plain'])), false)
})

test('a file of the server is read of what a gallery says, or of the link to its picture', () => {
  const file = { filename: 'a b.png', subfolder: 'x', type: 'output' }
  assert.deepEqual(stored(JSON.stringify(file), '', PAGE), file)
  assert.deepEqual(stored('', '/api/view?filename=a%20b.png&type=output&subfolder=x&rand=1', PAGE), file)
  assert.deepEqual(stored('{}', `${PAGE}view?filename=a.png`, PAGE), { filename: 'a.png', subfolder: '', type: 'output' })
})

test('other links are of no file of the server', () => {
  for (const link of ['', 'https://example.org/view?filename=a.png', '/api/view', '/api/other?filename=a.png', 'http://['])
    assert.equal(stored('', link, PAGE), undefined)
})

test('a file is named as Load Image reads it', () => {
  assert.equal(named({ filename: 'a.png' }), 'a.png')
  assert.equal(named({ filename: 'a.png', subfolder: 'x/y', type: 'input' }), 'x/y/a.png')
  assert.equal(named({ filename: 'a.png', subfolder: '', type: 'output' }), 'a.png [output]')
})
