// What a post takes up of a platform's limits.

import { key, joined, length, typedHashtags } from "./hashtags.js";

// The caption as it would be posted: what was typed, then what was ticked and isn't in it yet.
export function caption(description, ticked) {
  const typed = new Set(typedHashtags(description).map(key));
  const text = description.trim();
  const added = joined(ticked.filter((hashtag) => !typed.has(key(hashtag))));
  return text && added ? `${text} ${added}` : text || added;
}

export function measure(description, ticked, platform) {
  const hashtags = new Set([...typedHashtags(description), ...ticked].map(key)).size;
  const characters = length(caption(description, ticked));
  return {
    hashtags: against(hashtags, platform?.count),
    characters: against(characters, platform?.characters),
    isAdvice: platform?.recommended.includes("max_count") ?? false,
  };
}

export const isTooLong = (hashtag, platform) => Boolean(platform?.length) && length(hashtag) > platform.length;

const against = (used, most) => ({ used, most: most ?? null, over: most ? Math.max(0, used - most) : 0 });
