/* missing.h - whether libcurl can be had on this machine. Loads it. */
#pragma once

const char *curl_missing(void); /* why not; NULL: it is there */
