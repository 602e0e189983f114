/* sources.js - what several views watch, named once so that they share it. */
import { useRef } from 'preact/hooks';
import { tabique } from './api.js';
import { useLive } from './live.js';

export const useContainers = () => useLive('containers', tabique.containers, { interval: 2500, topic: { topic: 'containers' } });
export const useInfo = () => useLive('info', tabique.info, { interval: 10000 });

const naming = ['id', 'name', 'isolation', 'state', 'image', 'imageId'];
/** The containers for whoever only calls them by name: the same list until one comes, goes, or is or stands otherwise. */
export function useNames() {
  const { data, error } = useContainers();
  const kept = useRef({ names: /** @type {any[]} */ ([]), known: false });
  const list = data?.containers, old = kept.current;
  if (list && !(old.known && list.length === old.names.length && list.every((c, i) => naming.every((what) => c[what] === old.names[i][what])))) kept.current = { names: list, known: true };
  return { ...kept.current, error };
}
