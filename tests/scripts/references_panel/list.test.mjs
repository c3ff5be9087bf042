// What the references panel shows of the server's list.
import assert from 'node:assert/strict'
import test from 'node:test'

import { fitting, moved, shownName, thumbnailPath } from '../../../js/references_panel/list.mjs'

test('names are shown without what saving adds to them', () => {
  const shown = [
    ['black cat_00001_.safetensors', 'black cat', ''],
    ['cats/black cat_00012_.safetensors', 'black cat 12', 'cats'],
    ['cats\\odd.name.safetensors', 'odd.name', 'cats'],
    ['old.ipadpt [input]', 'old', ''],
    ['_00001_.safetensors', '_00001_.safetensors', '']
  ]
  for (const [name, title, folder] of shown) assert.deepEqual(shownName(name), { title, folder }, name)
})

test('a search finds all of its words in name, encoder and adapter', () => {
  const references = [
    { name: 'cats/Black.safetensors', maker: 'CLIP ViT-H/14', kept_for: '' },
    { name: 'dog.safetensors', maker: 'SigLIP', kept_for: 'plus' }
  ]
  const found = (searched) => fitting(references, searched).map(({ name }) => name[0])
  assert.deepEqual([found(''), found('cat vit-h'), found('plus'), found('cat siglip')], [['c', 'd'], ['c'], ['d'], []])
})

test('the address of a thumbnail holds any name', () => {
  const path = thumbnailPath({ name: 'a & b/c?.safetensors', state: '1-2' })
  const { searchParams } = new URL(path, 'http://a')
  assert.deepEqual([searchParams.get('name'), searchParams.get('state')], ['a & b/c?.safetensors', '1-2'])
})

test('arrow keys stay in the grid', () => {
  const keys = ['ArrowRight', 'ArrowLeft', 'ArrowDown', 'ArrowUp', 'Home', 'End', 'a']
  const found = keys.map((key) => moved(key, 4, 8, 3))
  assert.deepEqual(found, [5, 3, 7, 1, 0, 7, undefined])
  assert.deepEqual([moved('ArrowUp', 1, 8, 3), moved('ArrowDown', 7, 8, 3)], [0, 7])
})
