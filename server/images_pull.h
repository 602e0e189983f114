/* images_pull.h - the half of POST /images/create that asks a registry (routes_registry.c). */
#pragma once

struct request;

int images_pull(struct request *request);
