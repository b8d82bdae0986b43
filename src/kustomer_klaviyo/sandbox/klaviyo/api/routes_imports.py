"""Bulk imports of profiles: begun, asked about, and what they could not import."""

from functools import partial

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import BY_ANY_VALUE, Field, Fields, Keys, matching, ordered
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, JOBS, json_body
from kustomer_klaviyo.sandbox.klaviyo.api.query import listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.resources import import_job_resource
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import shown_profile
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.importing import begin_import, run_import
from kustomer_klaviyo.sandbox.klaviyo.model.records import ImportJob
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import resource

JOB_STATUSES = frozenset({"queued", "processing", "complete"})
JOB_FILTERS: Fields[ImportJob] = {"status": Field(BY_ANY_VALUE, lambda job: job.status, choices=JOB_STATUSES)}
JOB_SORTS: Keys[ImportJob] = {"created_at": lambda job: job.created_at}


async def create_import(request: web.Request) -> web.Response:
    """``POST /api/profile-bulk-import-jobs``."""
    account = request.app[ACCOUNT]
    job = begin_import(account, resource(await json_body(request), "profile-bulk-import-job"))
    request.app[JOBS].begin(partial(run_import, account, job))
    return _show(request, job, status=202)


async def list_imports(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs``."""
    found = matching(request, request.app[ACCOUNT].import_jobs.values(), JOB_FILTERS)
    found = ordered(request, found, JOB_SORTS, "created_at")
    part, links = listed(request, found, page(request, default=20, most=100))
    base = str(request.url.origin())
    return document({"data": [sparse(request, import_job_resource(one, base)) for one in part], "links": links})


async def get_import(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}``."""
    return _show(request, _job(request))


async def list_import_errors(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}/import-errors``."""
    part, links = listed(request, _job(request).errors, page(request, default=20, most=100))
    return document({"data": [sparse(request, one) for one in part], "links": links})


async def list_imported_profiles(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}/profiles``."""
    profiles = request.app[ACCOUNT].people.profiles
    held = [profiles[one] for one in dict.fromkeys(_job(request).profiles) if one in profiles]
    part, links = listed(request, held, page(request, default=20, most=100))
    return document({"data": [shown_profile(request, one) for one in part], "links": links})


def _job(request: web.Request) -> ImportJob:
    job = request.app[ACCOUNT].import_jobs.get(request.match_info["id"])
    if job is None:
        raise not_found(f"A profile bulk import job with id {request.match_info['id']} does not exist.")
    return job


def _show(request: web.Request, job: ImportJob, *, status: int = 200) -> web.Response:
    shown = sparse(request, import_job_resource(job, str(request.url.origin())))
    answer = with_included(request, {"data": shown, "links": {"self": str(request.url)}})
    return document(answer, status=status)
