// A request as a command line.

// Quoted for a POSIX shell.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
// A file name in curl's own quotes, since it may have a comma or semicolon.
const file = (name) => `@"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

export function curl(entry, model, keyNeeded) {
  const forms = [["input_reference", file(entry.picture)]];
  if (entry.mode === "interpolate") forms.push(["last_reference", file(entry.last)]);
  const lines = [`curl ${quoted(new URL("v1/videos", document.baseURI).href)}`];
  if (keyNeeded) lines.push('-H "Authorization: Bearer $ANIMATIC_KEY"');
  for (const [name, value] of forms) lines.push(`-F ${quoted(`${name}=${value}`)}`);
  // --form-string: a text that begins with @ is no file.
  for (const [name, value] of Object.entries({ model, ...entry.fields })) lines.push(`--form-string ${quoted(`${name}=${value}`)}`);
  return lines.join(" \\\n  ");
}
