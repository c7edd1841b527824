// What the service answers, in the words of the page.

export const SOURCES = {
  guidance: { label: "Guidance", meaning: "The retriever found it in the pool: it is close to your video." },
  vocabulary: { label: "Known", meaning: "The model wrote it, and knows it from training or the pool." },
  novel: { label: "New", meaning: "Neither the pool nor the vocabulary has it: the model coined it." },
  description: { label: "Description", meaning: "You wrote it into the description; neither the pool nor the vocabulary has it." },
  history: { label: "History", meaning: "You have used it before." },
  own: { label: "Yours", meaning: "You added it." },
};

export const sourceOf = (name) => SOURCES[name] ?? { label: name, meaning: "" };

export const RULES = {
  alias: "another name is used instead",
  block: "it is on the list of blocked ones",
  characters: "the platform doesn't take one of its characters",
  duplicate: "it says the same as a better one",
  generic: "it is used for everything, so it counts less",
  harmful: "it may be harmful language",
  length: "it is too long for the platform",
  min_score: "its score is too low",
  novel: "newly coined hashtags are forbidden",
  script: "it is in another script",
  total_length: "there was no room left beside the better ones",
};

export function readAnswer(raw) {
  return {
    id: raw.id,
    hashtags: raw.hashtags.map(({ display, score, source, novel, flagged, why }) => (
      { text: display, score, source, novel, flagged, why: hits(why) })),
    changes: raw.changes.map(({ hashtag, result, action, rule, reason }) => ({ text: hashtag, result, action, rule, reason })),
    guidance: hits(raw.guidance),
    frames: raw.frames ?? [],
    notices: raw.notices,
    seconds: raw.seconds,
    bundle: raw.bundle,
  };
}

const hits = (rows) => rows.map(({ hashtag, similarity }) => ({ text: hashtag, similarity }));

export const readPlatforms = (raw) => Object.entries(raw.platforms).map(([name, preset]) => ({
  name,
  title: TITLES[name] ?? name.charAt(0).toUpperCase() + name.slice(1),
  count: preset.max_count,
  length: preset.max_length,
  characters: preset.max_total_length,
  recommended: preset.recommended,
}));

const TITLES = {
  tiktok: "TikTok", youtube: "YouTube", "youtube-shorts": "YouTube Shorts", x: "X", linkedin: "LinkedIn",
};

export const readLimits = (raw) => ({
  bytes: raw.max_upload_bytes,
  seconds: raw.max_duration_seconds,
  formats: raw.formats,
  description: raw.max_description_characters,
  history: raw.max_history,
  hashtags: raw.max_hashtags,
});

export const readPool = (raw) => ({
  total: raw.total,
  rows: raw.hashtags.map(({ hashtag, similarity, uses }) => ({ text: hashtag, similarity, uses })),
});

export const readTrends = (raw) =>
  raw.rising.map(({ hashtag, rise, per_day: perDay }) => ({ text: hashtag, rise, perDay }));
