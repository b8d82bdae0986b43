"""Simulations running in the background: start, progress, stop."""

import asyncio

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import DISPATCHER, ORGANISATION, SUPPORT_TEAM, SURVEYS
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.simulation.scenario import Scenario
from kustomer_klaviyo.sandbox.kustomer.simulation.simulator import Simulation

SIMULATIONS = web.AppKey("simulations", list[tuple[Simulation, asyncio.Task[None]]])


def start_simulation(app: web.Application, body: Document) -> None:
    """Start a simulation in the background. Raises msgspec.ValidationError."""
    scenario = msgspec.convert(body, Scenario)
    dispatcher = app[DISPATCHER]
    simulation = Simulation(
        scenario, app[ORGANISATION], app[SUPPORT_TEAM], app[SURVEYS], lambda: dispatcher.is_overloaded
    )
    app[SIMULATIONS].append((simulation, asyncio.create_task(simulation.run())))


def progress(app: web.Application) -> Document:
    """Return the progress of all simulations: ``completed`` of ``total`` customers and conversations, and actions."""
    parts = [simulation.progress for simulation, _ in app[SIMULATIONS]]
    return {
        "running": any(part.running for part in parts),
        "completed": sum(part.completed for part in parts),
        "total": sum(part.total for part in parts),
        "actions": sum(part.actions for part in parts),
    }


async def stop_simulations(app: web.Application) -> None:
    """Stop every simulation."""
    tasks = [task for _, task in app[SIMULATIONS]]
    app[SIMULATIONS].clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
