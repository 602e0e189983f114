/* front.h - see server_internal.h; kept for the limits, which tests shorten. */
#pragma once

#define FRONT_HANDSHAKE_MS 10000
#define FRONT_HEAD_MS 20000
#define FRONT_IDLE_MS 75000
#define FRONT_LINGER_MS 2000
#define FRONT_FRESH_MAX 1024 /* connections that have not sent a whole request yet */
#define FRONT_CONNECTIONS 8192
