"""Words that an English frequency list lacks, or has and shouldn't, for splitting hashtags."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHORT_WORDS: Final = _words("""
    a i
    ai am an as at be by dj do go ha he hi if in is it la me mr my no of oh ok on or pc so to tv
    uk up us vs we ya yo
""")
"""The only words of one or two letters that joined-up hashtags are made of."""

CREATOR_WORDS: Final = _words("""
    afk aftermovie airbnb airpods amv anime asmr avocado aww bae bestie besties bff bgm binge bitcoin
    blackpink blog blogger bloggers blogging blogs bnw bokeh bookstagram booktok bro bruh btc bts catio
    cgi chill chillin clickbait cosplay cosplayer cosplayers cosplays cottagecore covid crossfit crypto
    cutie dalgona diy diys doge dogecoin doggo doggos drip duet duh ebay edm emo emoji emojis esport
    esports facebook facecam facetime fam fanart fancam fandom fangirl fitfam fitness fitspo fomo
    foodgasm foodie foodies foodstagram fortnite fps fyp fypage gameplay gamer gamers gif gifs giveaway
    giveaways glam goat goldendoodle gopro grwm gymshark hashtag hashtags hdr hiit hmm hoodie igers imho
    indie insta instadaily instagood instagram instagrammer instagrammers instalike instamood instapic
    instavideo inu ipad iphone iphoneography iphones irl jdm kawaii kdrama keto kombucha kpop
    labradoodle labubu lgbt lgbtq lmao lmfao lofi lol lolz lookbook loop loops meh meme memes merch
    minecraft mma moodboard mua mukbang nah nba netflix nfl nft nfts nhl noob nsfw nyc ocd omg onlyfans
    ootd otaku outfit parkour paypal pewdiepie photobomb photobooth photoshoot photoshoots pinterest
    playlist podcast podcaster podcasters podcasts pokemon pov preppy pubg pug pugs pup pups ramen
    reddit reel reels relatable remix remixes repost reposts retweet revine rizz roblox rofl romcom rpg
    selfie selfies sfx shein shiba shoutout shoutouts sis skibidi skincare slay slimes slomo smh
    snapchat soundcloud spotify squad steampunk streamer streamers superhero superheroes sus swag tattoo
    tattoos tbh tbt tgif throwback tiktok tiktoker tiktokers tiktoks timelapse timelapses tldr trippy
    tutorial tutorials twerk twerker twerkin twerking twerks twitch ugc ugh unbox unboxed unboxing
    unboxings unfollow unfriend unicycle unicyclist upcycle upcycled upcycling vaporwave vegan vegans
    vfx vibe vibes vibin viral vlog vlogger vloggers vlogging vlogmas vlogs voiceover vsco vtuber
    vtubers wcw webcomic webtoon weeb whatsapp wifi wip woah wow wtf xbox xmas yay yeet yep yolo youtube
    youtuber youtubers yum yummy zumba
""")
"""Words of creators and platforms, each one word however it is capitalised."""

JOINED_PHRASES: Final = _words("""
    againthat alltogether andawards andother bigtime eachother eventhough everytime footballclub
    footballplayer footballteam forchildren forthe freewill goodtime goodtimes highschool iloveyou
    inbetween incharge includingthe leaguematch mostrecent moviethat nationalteam oldtown onthisday
    oneworld sametime scienceworld sometimesit tookover wayoutwest worldchampionship worldcup worldwar
""")
"""Entries of the frequency list that are several words run together."""
