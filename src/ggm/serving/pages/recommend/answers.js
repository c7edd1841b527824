// What the service answers, in the words of the page.

export const SOURCES = {
  guidance: { label: "Guidance", meaning: "The retriever found it in the pool: it is close to your video." },
  vocabulary: { label: "Known", meaning: "The model wrote it, and knows it from training or the pool." },
  novel: { label: "New", meaning: "The model coined it: no one has used it where it learned." },
  generated: { label: "Written", meaning: "The model wrote it." },
  both: { label: "Guidance + written", meaning: "The retriever found it in the pool, and the model wrote it too." },
  description: { label: "Description", meaning: "It is in your description." },
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
    id: raw.id ?? "",
    hashtags: (raw.hashtags ?? []).map((item) => ({
      text: item.display ?? item.hashtag ?? item.text,
      score: item.score ?? 0,
      source: item.source ?? "generated",
      novel: item.novel ?? item.source === "novel",
      flagged: item.flagged ?? false,
      known: item.known ?? item.source !== "novel",
      why: hits(item.why),
    })),
    changes: (raw.changes ?? []).map((change) => ({
      text: change.hashtag ?? change.text,
      result: change.result ?? null,
      action: change.action,
      rule: change.rule,
      reason: change.reason ?? change.matched ?? "",
    })),
    guidance: hits(raw.guidance),
    frames: raw.frames ?? [],
    notices: raw.notices ?? [],
    seconds: raw.seconds ?? {},
    bundle: raw.bundle ?? {},
  };
}

const hits = (rows) => (rows ?? []).map((row) => ({ text: row.hashtag ?? row.text, similarity: row.similarity }));

// A list, or an object by name; each of them has a name then.
function named(rows) {
  if (Array.isArray(rows)) return rows.map((row) => (typeof row === "string" ? { name: row } : row));
  return Object.entries(rows ?? {}).map(([name, row]) => ({ name, ...row }));
}

export function readPlatforms(raw) {
  return named(raw.platforms ?? raw).map((preset) => ({
    name: preset.name,
    title: preset.title ?? titleOf(preset.name),
    count: preset.max_count ?? preset.count ?? null,
    length: preset.max_length ?? preset.length ?? null,
    characters: preset.max_total_length ?? preset.characters ?? null,
    recommended: preset.recommended ?? [],
  }));
}

const TITLES = {
  tiktok: "TikTok", youtube: "YouTube", "youtube-shorts": "YouTube Shorts", x: "X", linkedin: "LinkedIn",
};
const titleOf = (name) => TITLES[name] ?? name.charAt(0).toUpperCase() + name.slice(1);

export function readLimits(raw) {
  const limits = raw.limits ?? raw;
  return {
    bytes: limits.max_upload_bytes ?? limits.max_size_bytes ?? limits.upload_bytes ?? null,
    seconds: limits.max_duration_seconds ?? limits.duration_seconds ?? null,
    formats: limits.formats ?? [],
    description: limits.max_description_characters ?? limits.description_characters ?? null,
    hashtags: limits.max_hashtags ?? null,
  };
}

export function readPool(raw) {
  const rows = raw.hashtags ?? raw.results ?? raw.items ?? [];
  return {
    total: raw.total ?? null,
    rows: rows.map((row) => (typeof row === "string" ? { text: row } : {
      text: row.hashtag ?? row.text, similarity: row.similarity, uses: usesOf(row.uses), trend: row.trend,
    })),
  };
}

export function readTrends(raw) {
  const rows = raw.rising ?? raw.trends ?? raw.hashtags ?? [];
  return rows.map((row) => ({
    text: row.hashtag ?? row.text, rise: row.rise, perDay: row.per_day, before: row.per_day_before, uses: usesOf(row.uses),
  }));
}

const usesOf = (uses) => (uses && typeof uses === "object" ? uses.count : uses);
