/**
 * Text for people with nothing in it that a terminal would take for a command: names out of images, archives and
 * registries may hold whatever somebody put there. Lines and tabs stay.
 */
export function visible(text: string): string {
  return text.replace(
    /[^\P{Cc}\n\t]/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
