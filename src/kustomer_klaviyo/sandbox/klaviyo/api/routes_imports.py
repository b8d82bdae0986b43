"""API operations on bulk imports of profiles: create, read, errors, imported profiles."""

from functools import partial

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, JOBS
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    VALUE_OR_LIST,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
)
from kustomer_klaviyo.sandbox.klaviyo.api.query import page_of, requested_page, sparse_fields, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import json_body
from kustomer_klaviyo.sandbox.klaviyo.api.resources import import_job_resource
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import requested_profile
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.bulk_profile_import import create_import, run_import
from kustomer_klaviyo.sandbox.klaviyo.model.records import ImportJob
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import request_resource

JOB_STATUSES = frozenset({"queued", "processing", "complete"})
JOB_FILTERS: FilterFields[ImportJob] = {
    "status": FilterField(VALUE_OR_LIST, lambda job: job.status, choices=JOB_STATUSES)
}
JOB_SORTS: SortKeys[ImportJob] = {"created_at": lambda job: job.created_at}


async def post_import(request: web.Request) -> web.Response:
    """``POST /api/profile-bulk-import-jobs``."""
    account = request.app[ACCOUNT]
    job = create_import(account, request_resource(await json_body(request), "profile-bulk-import-job"))
    request.app[JOBS].schedule(partial(run_import, account, job))
    return _job_response(request, job, status=202)


async def list_imports(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs``."""
    matches = apply_filter(request, request.app[ACCOUNT].import_jobs.values(), JOB_FILTERS)
    matches = apply_sort(request, matches, JOB_SORTS, "created_at")
    items, links = page_of(request, matches, requested_page(request, default=20, max_size=100))
    base = str(request.url.origin())
    data = [sparse_fields(request, import_job_resource(job, base)) for job in items]
    return document_response({"data": data, "links": links})


async def get_import(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}``."""
    return _job_response(request, _job(request))


async def list_import_errors(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}/import-errors``."""
    items, links = page_of(request, _job(request).errors, requested_page(request, default=20, max_size=100))
    return document_response({"data": [sparse_fields(request, error) for error in items], "links": links})


async def list_imported_profiles(request: web.Request) -> web.Response:
    """``GET /api/profile-bulk-import-jobs/{id}/profiles``."""
    profiles = request.app[ACCOUNT].profiles.by_id
    ids = dict.fromkeys(_job(request).profiles)
    imported = [profiles[profile_id] for profile_id in ids if profile_id in profiles]
    items, links = page_of(request, imported, requested_page(request, default=20, max_size=100))
    return document_response({"data": [requested_profile(request, profile) for profile in items], "links": links})


def _job(request: web.Request) -> ImportJob:
    job = request.app[ACCOUNT].import_jobs.get(request.match_info["id"])
    if job is None:
        raise not_found(f"A profile bulk import job with id {request.match_info['id']} does not exist.")
    return job


def _job_response(request: web.Request, job: ImportJob, *, status: int = 200) -> web.Response:
    data = sparse_fields(request, import_job_resource(job, str(request.url.origin())))
    content = with_included(request, {"data": data, "links": {"self": str(request.url)}})
    return document_response(content, status=status)
