// @ts-check
// What the pack adds to ComfyUI's settings, menu and page "About".
import { app } from '../../scripts/app.js'

import { DROPS, VIEWS } from './lib/settings.mjs'

app.registerExtension({
  name: 'image-prompt.settings',

  settings: [
    {
      id: /** @type {any} */ (VIEWS),
      category: ['Image Prompt', 'Nodes', 'Views'],
      name: 'Show views on the nodes',
      tooltip: 'Pictures, curves and bars below the inputs. It holds for nodes that are added or opened from now on.',
      type: 'boolean',
      defaultValue: true
    },
    {
      id: /** @type {any} */ (DROPS),
      category: ['Image Prompt', 'Nodes', 'Drops'],
      name: 'Load pictures that are dropped on nodes',
      tooltip: 'A picture dropped on a node is loaded, encoded where needed, and wired to its first free socket.',
      type: 'boolean',
      defaultValue: true
    }
  ]
})
