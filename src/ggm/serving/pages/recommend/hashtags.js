// Hashtags in what somebody types, as the service recognises them (ggm.hashtags.caption).

const LINK_OR_HASHES =
  /(?<link>\b(?:https?:\/\/|www\.)[!-~]+)|(?<hashes>[#＃﹟]+[\ufe0e\ufe0f\u200b-\u200f\u2060-\u2069]*)/giu;
const BODY = /[\p{L}\p{N}_](?:[\p{L}\p{N}\p{M}_]|[-\u2010\u2011](?=[\p{L}\p{N}])|(?<=[\u0600-\u18af])[\u200c\u200d](?=[\u0600-\u18af]))*/uy;
const MAY_NOT_PRECEDE = /[\p{Lu}\p{Ll}\p{Lt}\p{N}_&/]\p{M}*$/u;
const LONGEST = 100;

// The canonical form without the number sign, or null where no letter is left.
export function normalise(text) {
  const canonical = text.normalize("NFKC").replace(/[\u2010\u2011]/g, "-")
    .replace(/[^\p{L}\p{N}\p{M}_\u200c\u200d-]/gu, "").replace(/^[-_]+|[-_]+$/g, "");
  return /\p{L}/u.test(canonical) && length(canonical) <= LONGEST ? canonical : null;
}

export const key = (text) => text.normalize("NFKC").toLowerCase();

// Code points, which is what limits count.
export const length = (text) => [...text].length;

export function typedHashtags(text) {
  const found = new Map();
  let position = 0;
  for (const match of text.matchAll(LINK_OR_HASHES)) {
    const start = match.index;
    const follows = start > 0 && start === position;
    if (match.groups.link || start < position) continue;
    if (!follows && MAY_NOT_PRECEDE.test(text.slice(0, start))) continue;
    BODY.lastIndex = start + match[0].length;
    const body = BODY.exec(text);
    const hashtag = body && normalise(body[0]);
    if (!hashtag) continue;
    if (!found.has(key(hashtag))) found.set(key(hashtag), hashtag);
    position = BODY.lastIndex;
  }
  return [...found.values()];
}

// A list as people write one: with or without number signs, between spaces or commas.
export function listOf(text) {
  const found = new Map();
  for (const part of text.split(/[\s,;#＃﹟]+/u)) {
    const hashtag = normalise(part);
    if (hashtag && !found.has(key(hashtag))) found.set(key(hashtag), hashtag);
  }
  return [...found.values()];
}

export const joined = (hashtags) => hashtags.map((hashtag) => `#${hashtag}`).join(" ");
