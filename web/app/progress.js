/* progress.js - Docker's streams of JSON lines, as they come. */

/** @param {Response} response @param {(message: any) => void} each */
export async function readLines(response, each) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const lines = rest.split('\n');
    rest = done ? '' : lines.pop() ?? '';
    for (const line of lines) {
      if (!line.trim()) continue;
      let message;
      try { message = JSON.parse(line); } catch { continue; }
      if (message.error) throw new Error(message.error);
      each(message);
    }
    if (done) return;
  }
}
